package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var balancerChecks = []check{
	{name: "balancer.spreads", run: balancerSpreads},
	{name: "balancer.a_dead_endpoint", run: balancerDeadEndpoint},
	{name: "balancer.learns_members", run: balancerSync},
	{name: "balancer.idle_connection", run: balancerIdle},
	{name: "balancer.over_a_killed_member", run: balancerKilledMember, disrupt: true},
	{name: "balancer.over_a_killed_leader", run: balancerKilledLeader, disrupt: true},
	{name: "balancer.without_a_majority", run: balancerMinority, disrupt: true},
	{name: "balancer.after_a_restart_of_all", run: balancerRestart, disrupt: true},
}

func balancerSpreads(s *scene) {
	seen := map[uint64]bool{}
	eventually("calls reach all members", func() bool {
		got := must(s.client.Get(s.ctx, s.key("a"), clientv3.WithSerializable()))
		seen[got.Header.MemberId] = true
		return len(seen) == len(s.endpoints)
	})
}

func balancerDeadEndpoint(s *scene) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	dead := listener.Addr().String()
	listener.Close()
	client := s.dial(dead, s.endpoints[0], s.endpoints[1])
	for number := range 30 {
		must(client.Put(s.ctx, s.key("a"), fmt.Sprint(number)))
	}
	nobody := s.dial(dead)
	short, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	_, err := nobody.Get(short, s.key("a"))
	expect(errors.Is(err, context.DeadlineExceeded), "nobody there: %v", err)
}

func balancerSync(s *scene) {
	client := s.dial(s.endpoints[0])
	fine(client.Sync(s.ctx))
	known := client.Endpoints()
	expect(len(known) == len(s.endpoints), "members known: %v", known)
	for _, endpoint := range s.endpoints {
		expect(slices.ContainsFunc(known, func(one string) bool { return strings.HasSuffix(one, endpoint) }),
			"%s is missing in %v", endpoint, known)
	}
	client.SetEndpoints(s.endpoints[1])
	wanted := must(client.Status(s.ctx, s.endpoints[1])).Header.MemberId
	eventually("calls go to the one endpoint set", func() bool {
		got := must(client.Get(s.ctx, s.key("a"), clientv3.WithSerializable()))
		return got.Header.MemberId == wanted
	})
}

// A client without streams that pings more often than a server allows would be sent away.
func balancerIdle(s *scene) {
	channel := s.watchCreated("a")
	time.Sleep(7 * time.Second)
	s.put("a", "1")
	s.expectEvents(channel, "PUT a=1")
}

// Reads and writes all the time; returns how many reads failed, and stops at the end.
func (s *scene) loadWhile(disturb func()) (reads, failed int64, reasons string) {
	var done, broken atomic.Int64
	var reason atomic.Value
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
			if _, err := s.client.Get(ctx, s.key("a")); err != nil {
				broken.Add(1)
				reason.Store(err.Error())
			}
			cancel()
			done.Add(1)
		}
	}()
	grows := func() {
		from := done.Load()
		eventually("reads go on", func() bool { return done.Load() > from+100 })
	}
	grows()
	disturb()
	grows()
	close(stop)
	<-ended
	text, _ := reason.Load().(string)
	return done.Load(), broken.Load(), text
}

// The client tries a read again elsewhere, so nobody notices that a follower is gone.
func balancerKilledMember(s *scene) {
	follower := s.followers()[0]
	reads, failed, reason := s.loadWhile(func() {
		must(s.control.ask("kill", must(s.control.ask("name", follower))[0]))
	})
	expect(failed == 0, "%d of %d reads failed: %s", failed, reads, reason)
}

// Over an election a read waits, or fails with something that the client's user may try again.
func balancerKilledLeader(s *scene) {
	reads, failed, reason := s.loadWhile(func() { s.control.killLeader() })
	expect(failed < 20 && reads > 100, "%d of %d reads failed: %s", failed, reads, reason)
	s.put("a", "after")
}

func balancerMinority(s *scene) {
	s.put("a", "1")
	s.settle()
	left := s.dial(s.loseMajority())
	eventually("the member notices that it is alone", func() bool {
		status := must(left.Status(s.ctx, left.Endpoints()[0]))
		return status.Leader == 0
	})
	got := must(left.Get(s.ctx, s.key("a"), clientv3.WithSerializable()))
	expect(got.Count == 1, "a serializable read without a majority: %v", got)
	_, err := left.Get(clientv3.WithRequireLeader(s.ctx), s.key("a"))
	expect(errors.Is(err, rpctypes.ErrNoLeader), "a read that requires a leader: %v", err)
	short, cancel := context.WithTimeout(s.ctx, 12*time.Second)
	defer cancel()
	_, err = left.Put(short, s.key("a"), "2")
	expect(err != nil, "a write without a majority was acknowledged")
	expect(strings.Contains(err.Error(), "deadline exceeded") || isRetriable(err),
		"a write alone: %v", err)
}

// The codes after which a user may try again.
func isRetriable(err error) bool {
	for _, one := range []error{rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail,
		rpctypes.ErrTimeoutDueToConnectionLost, rpctypes.ErrNoLeader, rpctypes.ErrLeaderChanged} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

func balancerRestart(s *scene) {
	revision := s.put("a", "1")
	s.put("b", "the client watches on from here, this one included")
	s.settle()
	channel := s.watchCreated("a")
	for _, endpoint := range s.endpoints {
		must(s.control.ask("kill", must(s.control.ask("name", endpoint))[0]))
	}
	must(s.control.ask("restore"))
	eventually("all is there again", func() bool {
		got, err := s.client.Get(s.ctx, s.key("a"))
		return err == nil && got.Count == 1 && got.Kvs[0].ModRevision == revision
	})
	s.put("a", "2")
	s.expectEvents(channel, "PUT a=2")
}
