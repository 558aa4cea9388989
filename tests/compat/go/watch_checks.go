package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var watchChecks = []check{
	{name: "watch.live", run: watchLive},
	{name: "watch.history_then_live", run: watchHistory},
	{name: "watch.filters_and_ranges", run: watchFilters},
	{name: "watch.a_txn_is_one_answer", run: watchTxn},
	{name: "watch.fragments", run: watchFragments},
	{name: "watch.progress", run: watchProgress},
	{name: "watch.compacted", run: watchCompacted},
	{name: "watch.future", run: watchFuture},
	{name: "watch.cancel", run: watchCancel},
	{name: "watch.many_on_one_stream", run: watchMany},
	{name: "watch.leases_end", run: watchLeaseEnd},
	{name: "watch.resume_on_another_member", run: watchResumeMember, disrupt: true},
	{name: "watch.resume_over_a_killed_leader", run: watchResumeLeader, disrupt: true},
	{name: "watch.require_leader", run: watchRequireLeader, disrupt: true},
}

func (s *scene) watch(name string, options ...clientv3.OpOption) clientv3.WatchChan {
	return s.client.Watch(s.ctx, s.key(name), options...)
}

// Starts a watch and waits until it is there.
func (s *scene) watchCreated(name string, options ...clientv3.OpOption) clientv3.WatchChan {
	channel := s.watch(name, append(options, clientv3.WithCreatedNotify())...)
	created := receive("the creation of a watch", channel)
	expect(created.Created && len(created.Events) == 0, "first answer %v", created)
	return channel
}

// The next events, as words: type, key, value.
func (s *scene) events(channel clientv3.WatchChan, count int) []string {
	var found []string
	for len(found) < count {
		response := receive(fmt.Sprintf("event %d of %d", len(found)+1, count), channel)
		fine(response.Err())
		for _, event := range response.Events {
			expect(event.Kv.ModRevision <= response.Header.Revision, "an event of the future %v", response)
			text := event.Type.String() + " " + strings.TrimPrefix(string(event.Kv.Key), s.prefix)
			if len(event.Kv.Value) > 0 {
				text += "=" + string(event.Kv.Value)
			}
			found = append(found, text)
		}
	}
	return found
}

func (s *scene) expectEvents(channel clientv3.WatchChan, wanted ...string) {
	got := s.events(channel, len(wanted))
	expect(strings.Join(got, ", ") == strings.Join(wanted, ", "), "wanted %q, got %q", wanted, got)
}

func watchLive(s *scene) {
	channel := s.watchCreated("a", clientv3.WithPrevKV())
	s.put("a", "1")
	s.put("a", "2")
	s.put("ab", "not watched")
	must(s.client.Delete(s.ctx, s.key("a")))
	first := receive("a put", channel).Events[0]
	expect(first.IsCreate() && !first.IsModify() && first.PrevKv == nil, "created: %v", first)
	var rest []*clientv3.Event
	for len(rest) < 2 {
		rest = append(rest, receive("a change", channel).Events...)
	}
	expect(rest[0].IsModify() && string(rest[0].PrevKv.Value) == "1", "modified: %v", rest[0])
	gone := rest[1]
	expect(gone.Type == clientv3.EventTypeDelete && string(gone.PrevKv.Value) == "2" &&
		len(gone.Kv.Value) == 0 && gone.Kv.CreateRevision == 0 &&
		gone.Kv.ModRevision == rest[0].Kv.ModRevision+2, "deleted: %v", gone)
}

func watchHistory(s *scene) {
	first := s.put("a", "1")
	s.put("b", "2")
	must(s.client.Delete(s.ctx, s.key("a")))
	channel := s.watch("", clientv3.WithPrefix(), clientv3.WithRev(first))
	s.expectEvents(channel, "PUT a=1", "PUT b=2", "DELETE a")
	s.put("c", "3")
	s.expectEvents(channel, "PUT c=3")
}

func watchFilters(s *scene) {
	start := clientv3.WithRev(s.put("start", ""))
	puts := s.watch("", clientv3.WithPrefix(), clientv3.WithFilterDelete(), start)
	deletes := s.watch("", clientv3.WithPrefix(), clientv3.WithFilterPut(), start)
	between := s.watch("b", clientv3.WithRange(s.key("d")), start)
	onwards := s.watch("c", clientv3.WithFromKey(), start)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.put(name, name)
	}
	must(s.client.Delete(s.ctx, s.key("a"), clientv3.WithRange(s.key("e"))))
	s.expectEvents(puts, "PUT start", "PUT a=a", "PUT b=b", "PUT c=c", "PUT d=d")
	s.expectEvents(deletes, "DELETE a", "DELETE b", "DELETE c", "DELETE d")
	s.expectEvents(between, "PUT b=b", "PUT c=c", "DELETE b", "DELETE c")
	s.expectEvents(onwards, "PUT start", "PUT c=c", "PUT d=d", "DELETE c", "DELETE d")
}

func watchTxn(s *scene) {
	live := s.watchCreated("", clientv3.WithPrefix())
	revision := must(s.when().Then(clientv3.OpPut(s.key("a"), "1"), clientv3.OpPut(s.key("b"), "2"),
		clientv3.OpPut(s.key("c"), "3")).Commit()).Header.Revision
	past := s.watch("", clientv3.WithPrefix(), clientv3.WithRev(revision))
	for what, channel := range map[string]clientv3.WatchChan{"live": live, "past": past} {
		response := receive(what, channel)
		expect(len(response.Events) == 3, "%s: a txn in pieces: %v", what, response)
		for _, event := range response.Events {
			expect(event.Kv.ModRevision == revision, "%s: revision of %v", what, event)
		}
	}
}

func watchFragments(s *scene) {
	large := strings.Repeat("x", 1<<18)
	first := s.put("start", "")
	for number := range 12 {
		s.put(fmt.Sprintf("%02d", number), large)
	}
	channel := s.watch("", clientv3.WithPrefix(), clientv3.WithRev(first+1), clientv3.WithFragment())
	seen := 0
	for seen < 12 {
		for _, event := range receive("a fragment", channel).Events {
			expect(string(event.Kv.Key) == s.key(fmt.Sprintf("%02d", seen)) &&
				len(event.Kv.Value) == len(large), "event %d is %s", seen, event.Kv.Key)
			seen++
		}
	}
	must(s.client.Delete(s.ctx, s.prefix, clientv3.WithPrefix()))
}

func watchProgress(s *scene) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	channel := s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	expect(receive("creation", channel).Created, "created")
	last := int64(0)
	for number := range 50 {
		last = s.put("a", fmt.Sprint(number))
	}
	events, asked := 0, time.Now()
	fine(s.client.RequestProgress(ctx))
	for {
		if time.Since(asked) > time.Second { // one that comes too early is not answered
			asked = time.Now()
			fine(s.client.RequestProgress(ctx))
		}
		select {
		case response := <-channel:
			fine(response.Err())
			events += len(response.Events)
			if response.IsProgressNotify() && response.Header.Revision >= last {
				expect(events == 50, "progress to %d with %d events", response.Header.Revision, events)
				return
			}
		case <-time.After(200 * time.Millisecond):
			expect(s.ctx.Err() == nil, "no progress was reported")
		}
	}
}

func watchCompacted(s *scene) {
	first := s.put("a", "1")
	s.put("a", "2")
	third := s.put("a", "3")
	must(s.client.Compact(s.ctx, third))
	s.settle()
	channel := s.watch("a", clientv3.WithRev(first))
	response := receive("the refusal", channel)
	expect(response.Canceled && response.CompactRevision == third, "refusal %v", response)
	expect(errors.Is(response.Err(), rpctypes.ErrCompacted), "error %v", response.Err())
	closes("a refused watch", channel)
	s.expectEvents(s.watch("a", clientv3.WithRev(third)), "PUT a=3")
}

func watchFuture(s *scene) {
	now := s.put("a", "1")
	channel := s.watch("a", clientv3.WithRev(now+3))
	s.put("a", "2")
	s.put("a", "3")
	s.put("a", "4")
	s.expectEvents(channel, "PUT a=4")
}

func watchCancel(s *scene) {
	ctx, cancel := context.WithCancel(s.ctx)
	ending := s.client.Watch(ctx, s.key("a"))
	staying := s.watchCreated("a")
	cancel()
	closes("a cancelled watch", ending)
	s.put("a", "1")
	s.expectEvents(staying, "PUT a=1")
	watcher := clientv3.NewWatcher(s.client)
	other := watcher.Watch(s.ctx, s.key("a"))
	fine(watcher.Close())
	closes("a watch of a closed watcher", other)
}

func watchMany(s *scene) {
	const count = 500
	channels := make([]clientv3.WatchChan, count)
	for number := range channels {
		channels[number] = s.watch(fmt.Sprint(number), clientv3.WithCreatedNotify())
	}
	for _, channel := range channels {
		expect(receive("a creation", channel).Created, "created")
	}
	for number := range channels {
		s.put(fmt.Sprint(number), "x")
	}
	for number, channel := range channels {
		s.expectEvents(channel, fmt.Sprintf("PUT %d=x", number))
	}
	for number, channel := range channels {
		select {
		case extra := <-channel:
			panic(failure{fmt.Sprintf("watch %d got more: %v", number, extra)})
		default:
		}
	}
}

func watchLeaseEnd(s *scene) {
	lease := must(s.client.Grant(s.ctx, 60)).ID
	s.put("b", "2", clientv3.WithLease(lease))
	s.put("a", "1", clientv3.WithLease(lease))
	s.settle()
	channel := s.watchCreated("", clientv3.WithPrefix(), clientv3.WithPrevKV())
	must(s.client.Revoke(s.ctx, lease))
	response := receive("the end of a lease", channel)
	expect(len(response.Events) == 2, "in one answer: %v", response)
	for number, name := range []string{"a", "b"} {
		event := response.Events[number]
		expect(event.Type == clientv3.EventTypeDelete && string(event.Kv.Key) == s.key(name) &&
			event.Kv.ModRevision == response.Header.Revision && event.PrevKv != nil, "event %v", event)
	}
}

// Writes until told to stop; returns how often. A put that fails may have been done, so the next
// one carries another number: what was seen has to have every number that was acknowledged.
func (s *scene) writeUntil(stop <-chan struct{}, acknowledged *atomic.Int64) []string {
	var sure []string
	for number := 0; ; number++ {
		select {
		case <-stop:
			return sure
		default:
		}
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		_, err := s.client.Put(ctx, s.key("row"), fmt.Sprint(number))
		cancel()
		if err == nil {
			sure = append(sure, fmt.Sprint(number))
			acknowledged.Add(1)
		}
	}
}

// A watch while members die: every acknowledged change, once, in order.
func (s *scene) watchThrough(watching *clientv3.Client, disturb func()) {
	channel := watching.Watch(s.ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	expect(receive("creation", channel).Created, "created")
	stop, sure := make(chan struct{}), make(chan []string, 1)
	var acknowledged atomic.Int64
	go func() { sure <- s.writeUntil(stop, &acknowledged) }()
	grows := func(more int64) {
		from := acknowledged.Load()
		eventually("writes go on", func() bool { return acknowledged.Load() >= from+more })
	}
	grows(50)
	disturb()
	grows(50)
	close(stop)
	wanted := receive("the writer's end", sure)
	final := s.put("end", "")
	var got []string
	last := int64(0)
	for done := false; !done; {
		response := receive("events", channel)
		fine(response.Err())
		for _, event := range response.Events {
			expect(event.Kv.ModRevision > last, "revision %d after %d", event.Kv.ModRevision, last)
			last = event.Kv.ModRevision
			got = append(got, string(event.Kv.Value))
			done = done || last == final
		}
	}
	at := 0
	for _, value := range got {
		if at < len(wanted) && value == wanted[at] {
			at++
		}
	}
	expect(at == len(wanted), "%d acknowledged, the event of number %d is missing", len(wanted), at)
}

func watchResumeMember(s *scene) {
	follower := s.followers()[0]
	watching := s.dial(s.endpoints...)
	s.watchThrough(watching, func() {
		must(s.control.ask("kill", must(s.control.ask("name", follower))[0]))
	})
}

func watchResumeLeader(s *scene) {
	_, leading := s.control.leader()
	// The first endpoint of the list is tried first: the watch is likely to hang on the leader.
	watching := s.dial(append([]string{leading}, s.followers()...)...)
	s.watchThrough(watching, func() { s.control.killLeader() })
}

func watchRequireLeader(s *scene) {
	left := s.dial(s.endpoints[0])
	demanding := left.Watch(clientv3.WithRequireLeader(s.ctx), s.key("a"), clientv3.WithCreatedNotify())
	expect(receive("creation", demanding).Created, "created")
	s.loseMajority()
	response := receive("the end of a watch without a leader", demanding)
	expect(errors.Is(response.Err(), rpctypes.ErrNoLeader), "ended by %v", response.Err())
}
