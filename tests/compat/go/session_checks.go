package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var sessionChecks = []check{
	{name: "session.life", run: sessionLife},
	{name: "mutex.excludes", run: mutexExcludes},
	{name: "mutex.try_and_release", run: mutexTry},
	{name: "mutex.holder_dies", run: mutexHolderDies},
	{name: "mutex.over_a_killed_leader", run: mutexFailover, disrupt: true},
	{name: "election.campaign_and_resign", run: electionCampaign},
	{name: "election.observe", run: electionObserve},
	{name: "election.over_a_killed_leader", run: electionFailover, disrupt: true},
	{name: "stm.transfers", run: stmTransfers},
	{name: "stm.isolation_levels", run: stmLevels},
	{name: "stm.over_a_killed_leader", run: stmFailover, disrupt: true},
}

func (s *scene) session(client *clientv3.Client, seconds int) *concurrency.Session {
	return must(concurrency.NewSession(client, concurrency.WithTTL(seconds),
		concurrency.WithContext(s.ctx)))
}

func sessionLife(s *scene) {
	session := s.session(s.client, 5)
	s.put("a", "1", clientv3.WithLease(session.Lease()))
	fine(session.Close())
	expect(s.get("a").Count == 0, "a closed session left its key")
	closes("a closed session", session.Done())

	orphan := s.session(s.client, 2)
	s.put("b", "1", clientv3.WithLease(orphan.Lease()))
	orphan.Orphan()
	expect(s.get("b").Count == 1, "an orphaned session took its key at once")
	eventually("the orphan's lease ends", func() bool { return s.get("b").Count == 0 })

	lost := s.session(s.client, 5)
	must(s.client.Revoke(s.ctx, lost.Lease()))
	closes("a session whose lease is gone", lost.Done())

	lease := s.grant(5)
	resumed := must(concurrency.NewSession(s.client, concurrency.WithLease(lease)))
	expect(resumed.Lease() == lease, "a session of a lease given")
	fine(resumed.Close())
}

func mutexExcludes(s *scene) {
	const workers, each = 6, 8
	s.put("counter", "0")
	together(workers, func(worker int) {
		client := s.dial(s.endpoints[worker%len(s.endpoints)])
		session := s.session(client, 10)
		mutex := concurrency.NewMutex(session, s.key("lock"))
		for range each {
			fine(mutex.Lock(s.ctx))
			// Not guarded by anything but the lock: two inside would lose a count.
			row := must(client.Get(s.ctx, s.key("counter"))).Kvs[0]
			number := must(strconv.Atoi(string(row.Value)))
			must(client.Put(s.ctx, s.key("counter"), strconv.Itoa(number+1)))
			fine(mutex.Unlock(s.ctx))
		}
		fine(session.Close())
	})
	final := string(s.get("counter").Kvs[0].Value)
	expect(final == strconv.Itoa(workers*each), "%s of %d turns counted", final, workers*each)
	expect(s.get("lock", clientv3.WithPrefix()).Count == 0, "locks left keys behind")
}

func mutexTry(s *scene) {
	first, second := s.session(s.client, 10), s.session(s.dial(s.endpoints...), 10)
	held, wanted := concurrency.NewMutex(first, s.key("lock")), concurrency.NewMutex(second, s.key("lock"))
	fine(held.Lock(s.ctx))
	expect(s.holds(held.IsOwner()), "the holder owns it")
	err := wanted.TryLock(s.ctx)
	expect(errors.Is(err, concurrency.ErrLocked), "tried a held lock: %v", err)
	short, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	err = wanted.Lock(short)
	expect(errors.Is(err, context.DeadlineExceeded), "waited for a held lock: %v", err)
	eventually("one who gave up leaves the line", func() bool {
		return s.get("lock", clientv3.WithPrefix()).Count == 1
	})
	fine(held.Unlock(s.ctx))
	fine(wanted.TryLock(s.ctx))
	fine(wanted.Unlock(s.ctx))
	err = wanted.Unlock(s.ctx)
	expect(errors.Is(err, concurrency.ErrLockReleased), "released twice: %v", err)
}

func mutexHolderDies(s *scene) {
	dying := s.session(s.client, 2)
	held := concurrency.NewMutex(dying, s.key("lock"))
	fine(held.Lock(s.ctx))
	heir := s.session(s.dial(s.endpoints...), 10)
	next := concurrency.NewMutex(heir, s.key("lock"))
	dying.Orphan()
	start := time.Now()
	fine(next.Lock(s.ctx))
	expect(time.Since(start) < patience, "the heir waited %v", time.Since(start))
	expect(!s.holds(held.IsOwner()), "the dead one still owns it")
	expect(s.holds(next.IsOwner()), "the heir owns it")
	fine(heir.Close())
}

func mutexFailover(s *scene) {
	holder, heir := s.session(s.client, 10), s.session(s.dial(s.endpoints...), 10)
	held, next := concurrency.NewMutex(holder, s.key("lock")), concurrency.NewMutex(heir, s.key("lock"))
	fine(held.Lock(s.ctx))
	got := make(chan error, 1)
	go func() { got <- next.Lock(s.ctx) }()
	eventually("the other waits", func() bool { return s.get("lock", clientv3.WithPrefix()).Count == 2 })
	s.control.killLeader()
	eventually("there is a leader again", func() bool {
		_, err := s.client.Get(s.ctx, s.key("lock"))
		return err == nil
	})
	select {
	case err := <-got:
		panic(failure{fmt.Sprintf("the lock was given away over the failover: %v", err)})
	case <-time.After(time.Second):
	}
	expect(s.holds(held.IsOwner()), "the holder lost it")
	fine(held.Unlock(s.ctx))
	fine(receive("the lock's next holder", got))
	expect(s.holds(next.IsOwner()), "the next one owns it")
}

func electionCampaign(s *scene) {
	first, second := s.session(s.client, 10), s.session(s.dial(s.endpoints...), 10)
	leader := concurrency.NewElection(first, s.key("office"))
	_, err := leader.Leader(s.ctx)
	expect(errors.Is(err, concurrency.ErrElectionNoLeader), "an empty office: %v", err)
	err = leader.Proclaim(s.ctx, "x")
	expect(errors.Is(err, concurrency.ErrElectionNotLeader), "proclaimed without office: %v", err)
	fine(leader.Campaign(s.ctx, "first"))
	rival := concurrency.NewElection(second, s.key("office"))
	won := make(chan error, 1)
	go func() { won <- rival.Campaign(s.ctx, "second") }()
	eventually("the rival stands in line", func() bool {
		return s.get("office", clientv3.WithPrefix()).Count == 2
	})
	holds := func(election *concurrency.Election, value string) {
		got := must(election.Leader(s.ctx))
		expect(string(got.Kvs[0].Value) == value, "wanted %s in office, got %v", value, got)
	}
	holds(rival, "first")
	fine(leader.Proclaim(s.ctx, "first again"))
	holds(rival, "first again")
	resumed := concurrency.ResumeElection(first, s.key("office"), leader.Key(), leader.Rev())
	fine(resumed.Resign(s.ctx))
	fine(receive("the rival's victory", won))
	holds(leader, "second")
	short, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	err = concurrency.NewElection(first, s.key("office")).Campaign(short, "late")
	expect(errors.Is(err, context.DeadlineExceeded), "gave up the campaign: %v", err)
	fine(second.Close())
	fine(first.Close())
	expect(s.get("office", clientv3.WithPrefix()).Count == 0, "the election left keys")
}

func electionObserve(s *scene) {
	observer := concurrency.NewElection(s.session(s.dial(s.endpoints...), 10), s.key("office"))
	seen := observer.Observe(s.ctx)
	for _, value := range []string{"a", "b"} {
		session := s.session(s.client, 10)
		election := concurrency.NewElection(session, s.key("office"))
		fine(election.Campaign(s.ctx, value))
		got := receive("the news of a victory", seen)
		expect(string(got.Kvs[0].Value) == value, "observed %v", got)
		fine(election.Proclaim(s.ctx, value+value))
		got = receive("the news of a proclamation", seen)
		expect(string(got.Kvs[0].Value) == value+value, "observed %v", got)
		fine(session.Close())
	}
}

func electionFailover(s *scene) {
	first, second := s.session(s.client, 10), s.session(s.dial(s.endpoints...), 10)
	leader := concurrency.NewElection(first, s.key("office"))
	rival := concurrency.NewElection(second, s.key("office"))
	fine(leader.Campaign(s.ctx, "first"))
	won := make(chan error, 1)
	go func() { won <- rival.Campaign(s.ctx, "second") }()
	eventually("the rival stands in line", func() bool {
		return s.get("office", clientv3.WithPrefix()).Count == 2
	})
	s.control.killLeader()
	eventually("the first is still in office", func() bool {
		got, err := leader.Leader(s.ctx)
		return err == nil && string(got.Kvs[0].Value) == "first"
	})
	fine(leader.Resign(s.ctx))
	fine(receive("the rival's victory", won))
}

const accounts, capital = 5, 100

func (s *scene) openAccounts() {
	for number := range accounts {
		s.put(fmt.Sprintf("account/%d", number), strconv.Itoa(capital))
	}
}

func (s *scene) transfer(from, to, amount int) func(concurrency.STM) error {
	name := func(number int) string { return s.key(fmt.Sprintf("account/%d", number%accounts)) }
	return func(stm concurrency.STM) error {
		giver, err := strconv.Atoi(stm.Get(name(from)))
		if err != nil {
			return err
		}
		if giver < amount {
			return nil
		}
		stm.Put(name(from), strconv.Itoa(giver-amount))
		taker, err := strconv.Atoi(stm.Get(name(to)))
		if err != nil {
			return err
		}
		stm.Put(name(to), strconv.Itoa(taker+amount))
		return nil
	}
}

func (s *scene) expectCapital() {
	sum := 0
	for _, row := range s.get("account/", clientv3.WithPrefix()).Kvs {
		number := must(strconv.Atoi(string(row.Value)))
		expect(number >= 0, "an account is overdrawn: %v", row)
		sum += number
	}
	expect(sum == accounts*capital, "the sum is %d", sum)
}

func stmTransfers(s *scene) {
	s.openAccounts()
	levels := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable,
		concurrency.RepeatableReads}
	together(6, func(worker int) {
		client := s.dial(s.endpoints[worker%len(s.endpoints)])
		for turn := range 10 {
			response := must(concurrency.NewSTM(client, s.transfer(worker+turn, worker+2*turn+1, turn),
				concurrency.WithIsolation(levels[worker%len(levels)]), concurrency.WithAbortContext(s.ctx)))
			expect(response.Succeeded, "transfer %v", response)
		}
	})
	s.expectCapital()
}

func stmLevels(s *scene) {
	// Of one member: the later reads of a snapshot are serializable, and another one may lag.
	client := s.dial(s.endpoints[0])
	for _, level := range []concurrency.Isolation{concurrency.SerializableSnapshot,
		concurrency.Serializable, concurrency.RepeatableReads, concurrency.ReadCommitted} {
		must(client.Put(s.ctx, s.key("a"), "1"))
		tries := 0
		must(concurrency.NewSTM(client, func(stm concurrency.STM) error {
			value := stm.Get(s.key("a"))
			if tries++; tries == 1 { // somebody else writes between reading and committing
				must(client.Put(s.ctx, s.key("a"), "2"))
			}
			stm.Put(s.key("copy"), value)
			stm.Del(s.key("never there"))
			return nil
		}, concurrency.WithIsolation(level), concurrency.WithPrefetch(s.key("copy"))))
		copied := string(s.get("copy").Kvs[0].Value)
		wanted, wantedTries := "2", 2
		if level == concurrency.ReadCommitted {
			wanted, wantedTries = "1", 1
		}
		expect(copied == wanted && tries == wantedTries, "level %d: %s after %d tries", level, copied, tries)
	}
	boom := errors.New("boom")
	_, err := concurrency.NewSTM(s.client, func(concurrency.STM) error { return boom })
	expect(errors.Is(err, boom), "an error of one's own: %v", err)
}

func stmFailover(s *scene) {
	s.openAccounts()
	stop := make(chan struct{})
	done := make(chan int, 1)
	go func() {
		succeeded := 0
		for turn := 0; ; turn++ {
			select {
			case <-stop:
				done <- succeeded
				return
			default:
			}
			ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
			_, err := concurrency.NewSTM(s.client, s.transfer(turn, turn+1, 7),
				concurrency.WithAbortContext(ctx))
			cancel()
			if err == nil {
				succeeded++
			}
		}
	}()
	time.Sleep(time.Second)
	s.control.killLeader()
	before := s.get("account/", clientv3.WithPrefix()).Header.Revision
	eventually("transfers go on", func() bool {
		return s.get("account/", clientv3.WithPrefix()).Header.Revision > before+20
	})
	close(stop)
	expect(receive("the last transfer", done) > 0, "no transfer succeeded")
	s.expectCapital()
}
