package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseChecks = []check{
	{name: "lease.grant_and_revoke", run: leaseGrantRevoke},
	{name: "lease.time_to_live", run: leaseTimeToLive},
	{name: "lease.ends_by_itself", run: leaseEnds},
	{name: "lease.keep_alive", run: leaseKeepAlive},
	{name: "lease.keep_alive_of_many", run: leaseKeepAliveMany},
	{name: "lease.keep_alive_ends", run: leaseKeepAliveEnds},
	{name: "lease.keys_move", run: leaseKeysMove},
	{name: "lease.refusals", run: leaseRefusals},
	{name: "lease.keep_alive_over_a_killed_leader", run: leaseFailover, disrupt: true},
	{name: "lease.ends_after_a_killed_leader", run: leaseEndsFailover, disrupt: true},
}

func (s *scene) grant(seconds int64) clientv3.LeaseID {
	granted := must(s.client.Grant(s.ctx, seconds))
	expect(granted.ID != 0 && granted.TTL == seconds && granted.Error == "", "granted %v", granted)
	return granted.ID
}

func leaseGrantRevoke(s *scene) {
	lease := s.grant(60)
	s.put("a", "1", clientv3.WithLease(lease))
	before := s.put("b", "2", clientv3.WithLease(lease))
	expect(s.get("a").Kvs[0].Lease == int64(lease), "the row names its lease")
	listed := func() bool {
		leases := must(s.client.Leases(s.ctx)).Leases
		return slices.ContainsFunc(leases, func(one clientv3.LeaseStatus) bool { return one.ID == lease })
	}
	eventually("the lease is listed", listed)
	revoked := must(s.client.Revoke(s.ctx, lease))
	expect(revoked.Header.Revision == before+1, "one revision for all keys: %v", revoked)
	expect(s.get("", clientv3.WithPrefix()).Count == 0, "its keys outlived the lease")
	_, err := s.client.Revoke(s.ctx, lease)
	expect(errors.Is(err, rpctypes.ErrLeaseNotFound), "revoked twice: %v", err)
	eventually("the lease is gone from the list", func() bool { return !listed() })
	lonely := s.grant(60)
	now := must(s.client.Revoke(s.ctx, lonely)).Header.Revision
	expect(now == before+1, "a lease without keys made a revision: %d", now)
}

func leaseTimeToLive(s *scene) {
	lease := s.grant(100)
	s.put("b", "2", clientv3.WithLease(lease))
	s.put("a", "1", clientv3.WithLease(lease))
	for _, endpoint := range s.endpoints { // a follower asks the leader
		answer := must(s.dial(endpoint).TimeToLive(s.ctx, lease, clientv3.WithAttachedKeys()))
		expect(answer.ID == lease && answer.GrantedTTL == 100 && answer.TTL > 60 && answer.TTL <= 100,
			"time to live %v", answer)
		keys := []string{string(answer.Keys[0]), string(answer.Keys[1])}
		slices.Sort(keys)
		expect(keys[0] == s.key("a") && keys[1] == s.key("b"), "keys %v", keys)
	}
	plain := must(s.client.TimeToLive(s.ctx, lease))
	expect(len(plain.Keys) == 0, "keys that nobody asked for: %v", plain)
	unknown := must(s.client.TimeToLive(s.ctx, 987654321))
	expect(unknown.TTL == -1 && unknown.GrantedTTL == 0, "of an unknown lease: %v", unknown)
}

func leaseEnds(s *scene) {
	lease := s.grant(2)
	granted := time.Now()
	s.put("a", "1", clientv3.WithLease(lease))
	s.settle()
	channel := s.watchCreated("a")
	s.expectEvents(channel, "DELETE a")
	took := time.Since(granted)
	expect(took >= 1900*time.Millisecond, "a lease of 2 s ended after %v", took)
	expect(must(s.client.TimeToLive(s.ctx, lease)).TTL == -1, "an ended lease has time to live")
}

func leaseKeepAlive(s *scene) {
	lease := s.grant(2)
	s.put("a", "1", clientv3.WithLease(lease))
	ctx, cancel := context.WithCancel(s.ctx)
	answers := must(s.client.KeepAlive(ctx, lease))
	for start := time.Now(); time.Since(start) < 6*time.Second; {
		answer := receive("a renewal", answers)
		expect(answer.ID == lease && answer.TTL == 2, "renewal %v", answer)
		expect(s.get("a").Count == 1, "the key of a lease that is kept alive is gone")
	}
	cancel()
	closes("renewals", answers)
	eventually("without renewals it ends", func() bool { return s.get("a").Count == 0 })
}

func leaseKeepAliveMany(s *scene) {
	const count = 60
	var answers []<-chan *clientv3.LeaseKeepAliveResponse
	for number := range count {
		lease := s.grant(3)
		s.put(fmt.Sprint(number), "x", clientv3.WithLease(lease))
		answers = append(answers, must(s.client.KeepAlive(s.ctx, lease)))
	}
	for range 4 {
		for _, channel := range answers {
			expect(receive("a renewal", channel).TTL == 3, "renewed to its time")
		}
	}
	time.Sleep(3500 * time.Millisecond)
	expect(s.get("", clientv3.WithPrefix()).Count == count, "keys of renewed leases are gone")
}

func leaseKeepAliveEnds(s *scene) {
	lease := s.grant(3)
	answers := must(s.client.KeepAlive(s.ctx, lease))
	receive("a renewal", answers)
	once := must(s.client.KeepAliveOnce(s.ctx, lease))
	expect(once.TTL == 3 && once.ID == lease, "renewed once: %v", once)
	must(s.client.Revoke(s.ctx, lease))
	closes("renewals of a revoked lease", answers)
	_, err := s.client.KeepAliveOnce(s.ctx, lease)
	expect(errors.Is(err, rpctypes.ErrLeaseNotFound), "renewal of a revoked lease: %v", err)
}

func leaseKeysMove(s *scene) {
	first, second := s.grant(60), s.grant(60)
	s.put("moved", "1", clientv3.WithLease(first))
	s.put("moved", "1", clientv3.WithLease(second))
	s.put("freed", "1", clientv3.WithLease(first))
	s.put("freed", "1")
	s.put("stays", "1", clientv3.WithLease(first))
	must(s.client.Delete(s.ctx, s.key("stays")))
	s.put("stays", "reborn without")
	must(s.client.Revoke(s.ctx, first))
	expect(s.get("", clientv3.WithPrefix()).Count == 3, "a lease took keys that had left it")
	keys := must(s.client.TimeToLive(s.ctx, second, clientv3.WithAttachedKeys())).Keys
	expect(len(keys) == 1 && string(keys[0]) == s.key("moved"), "keys of the second: %s", keys)
	must(s.client.Revoke(s.ctx, second))
	expect(s.get("", clientv3.WithPrefix()).Count == 2, "the second took its key")
}

func leaseRefusals(s *scene) {
	_, err := s.client.Put(s.ctx, s.key("a"), "1", clientv3.WithLease(987654321))
	expect(errors.Is(err, rpctypes.ErrLeaseNotFound), "put with an unknown lease: %v", err)
	_, err = s.client.Grant(s.ctx, 9000000001)
	expect(errors.Is(err, rpctypes.ErrLeaseTTLTooLarge), "too long: %v", err)
	_, err = s.client.KeepAliveOnce(s.ctx, 987654321)
	expect(errors.Is(err, rpctypes.ErrLeaseNotFound), "renewal of an unknown lease: %v", err)
	plain := pb.NewLeaseClient(s.client.ActiveConnection())
	lease := must(plain.LeaseGrant(s.ctx, &pb.LeaseGrantRequest{ID: 1717171717, TTL: 60}))
	expect(lease.ID == 1717171717, "an id of one's own: %v", lease)
	_, err = plain.LeaseGrant(s.ctx, &pb.LeaseGrantRequest{ID: 1717171717, TTL: 60})
	expect(errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseExist), "the same id again: %v", err)
	must(s.client.Revoke(s.ctx, 1717171717))
	short := must(s.client.Grant(s.ctx, 0))
	expect(short.TTL >= 1, "a lease of no time gets the least: %v", short)
}

func leaseFailover(s *scene) {
	lease := s.grant(4)
	s.put("a", "1", clientv3.WithLease(lease))
	answers := must(s.client.KeepAlive(s.ctx, lease))
	receive("a renewal", answers)
	born := s.get("a").Kvs[0].CreateRevision
	s.control.killLeader()
	for start := time.Now(); time.Since(start) < 12*time.Second; {
		receive("a renewal", answers)
	}
	row := s.get("a").Kvs
	expect(len(row) == 1 && row[0].CreateRevision == born, "the key did not live through: %v", row)
}

func leaseEndsFailover(s *scene) {
	lease := s.grant(3)
	s.put("a", "1", clientv3.WithLease(lease))
	renewed := must(s.client.KeepAliveOnce(s.ctx, lease))
	start := time.Now()
	s.control.killLeader()
	eventually("the lease ends under another leader", func() bool {
		got, err := s.client.Get(s.ctx, s.key("a"))
		return err == nil && got.Count == 0
	})
	expect(time.Since(start) >= 2900*time.Millisecond, "early: %v of %d s", time.Since(start), renewed.TTL)
}
