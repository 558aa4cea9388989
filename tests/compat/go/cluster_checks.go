package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/health/grpc_health_v1"
)

var clusterChecks = []check{
	{name: "cluster.member_list", run: clusterList},
	{name: "cluster.learner_comes_and_goes", run: clusterLearner},
}

var maintenanceChecks = []check{
	{name: "maintenance.status", run: maintenanceStatus},
	{name: "maintenance.health", run: maintenanceHealth},
	{name: "maintenance.hash_of_members", run: maintenanceHash},
	{name: "maintenance.move_leader", run: maintenanceMoveLeader},
	{name: "maintenance.defragment", run: maintenanceDefragment},
	{name: "maintenance.alarms", run: maintenanceAlarms},
	{name: "maintenance.snapshot", run: maintenanceSnapshot},
}

func clusterList(s *scene) {
	list := must(s.client.MemberList(s.ctx))
	expect(len(list.Members) == 3 && list.Header.ClusterId != 0, "members %v", list)
	for _, member := range list.Members {
		expect(member.ID != 0 && member.Name != "" && !member.IsLearner && len(member.PeerURLs) == 1 &&
			len(member.ClientURLs) == 1, "member %v", member)
		expect(slices.Contains(s.endpoints, member.ClientURLs[0][len("http://"):]), "URL of %v", member)
	}
	local := must(s.client.MemberList(s.ctx, clientv3.WithSerializable()))
	expect(len(local.Members) == 3, "members of one member's own knowledge: %v", local)
}

func clusterLearner(s *scene) {
	time.Sleep(5500 * time.Millisecond) // connections have to have lasted so long
	address := []string{"http://127.0.0.1:1"}
	added := must(s.client.MemberAddAsLearner(s.ctx, address))
	time.Sleep(1100 * time.Millisecond) // an id is made of the URLs and the second
	expect(added.Member.IsLearner && added.Member.Name == "" && len(added.Members) == 4, "added %v", added)
	_, err := s.client.MemberAddAsLearner(s.ctx, address)
	expect(errors.Is(err, rpctypes.ErrPeerURLExist), "added twice: %v", err)
	_, err = s.client.MemberAddAsLearner(s.ctx, []string{"http://127.0.0.1:2"})
	expect(errors.Is(err, rpctypes.ErrTooManyLearners), "a second learner: %v", err)
	_, err = s.client.MemberPromote(s.ctx, added.Member.ID)
	expect(errors.Is(err, rpctypes.ErrMemberLearnerNotReady), "promoted too early: %v", err)
	must(s.client.MemberUpdate(s.ctx, added.Member.ID, []string{"http://127.0.0.1:3"}))
	removed := must(s.client.MemberRemove(s.ctx, added.Member.ID))
	expect(len(removed.Members) == 3, "removed %v", removed)
	_, err = s.client.MemberRemove(s.ctx, added.Member.ID)
	expect(errors.Is(err, rpctypes.ErrMemberNotFound), "removed twice: %v", err)
}

func maintenanceStatus(s *scene) {
	s.put("a", "1")
	leaders := map[uint64]bool{}
	for _, endpoint := range s.endpoints {
		found := must(s.client.Status(s.ctx, endpoint))
		leaders[found.Leader] = true
		expect(found.Version != "" && found.DbSize > 0 && found.RaftIndex > 0 && found.RaftTerm > 0 &&
			found.RaftAppliedIndex > 0 && !found.IsLearner && len(found.Errors) == 0, "status %v", found)
	}
	expect(len(leaders) == 1 && !leaders[0], "leaders %v", leaders)
}

func maintenanceHealth(s *scene) {
	health := grpc_health_v1.NewHealthClient(s.client.ActiveConnection())
	answer := must(health.Check(s.ctx, &grpc_health_v1.HealthCheckRequest{}))
	expect(answer.Status == grpc_health_v1.HealthCheckResponse_SERVING, "health %v", answer)
}

func maintenanceHash(s *scene) {
	for number := range 60 {
		s.put(fmt.Sprint(number%7), fmt.Sprint(number))
	}
	revision := must(s.client.Delete(s.ctx, s.key("3"))).Header.Revision
	s.put("later", "does not count")
	hashes := map[uint32]bool{}
	for _, endpoint := range s.endpoints {
		eventually(endpoint+" has the revision", func() bool {
			answer, err := s.client.HashKV(s.ctx, endpoint, revision)
			if err == nil {
				hashes[answer.Hash] = true
			}
			return err == nil
		})
	}
	expect(len(hashes) == 1, "members disagree: %v", hashes)
	_, err := s.client.HashKV(s.ctx, s.endpoints[0], revision+1000000)
	expect(errors.Is(err, rpctypes.ErrFutureRev), "of the future: %v", err)
}

func maintenanceMoveLeader(s *scene) {
	_, leading := s.control.leader()
	target := must(s.client.Status(s.ctx, s.followers()[0])).Header.MemberId
	must(s.dial(leading).MoveLeader(s.ctx, target))
	found := must(s.client.Status(s.ctx, leading))
	expect(found.Leader == target, "the leader is %x, not %x", found.Leader, target)
	s.put("a", "under the new one")
}

func maintenanceDefragment(s *scene) {
	s.put("a", "1")
	for _, endpoint := range s.endpoints {
		must(s.client.Defragment(s.ctx, endpoint))
	}
	expect(s.get("a").Count == 1, "after it")
}

func maintenanceAlarms(s *scene) {
	expect(len(must(s.client.AlarmList(s.ctx)).Alarms) == 0, "alarms of a healthy cluster")
	member := must(s.client.Status(s.ctx, s.endpoints[0])).Header.MemberId
	plain := pb.NewMaintenanceClient(s.client.ActiveConnection())
	must(plain.Alarm(s.ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: member,
		Alarm: pb.AlarmType_NOSPACE}))
	listed := must(s.client.AlarmList(s.ctx)).Alarms
	expect(len(listed) == 1 && listed[0].MemberID == member, "alarms %v", listed)
	_, err := s.client.Put(s.ctx, s.key("a"), "1")
	expect(errors.Is(err, rpctypes.ErrNoSpace), "a put without space: %v", err)
	must(s.client.Get(s.ctx, s.key("a")))
	must(s.client.AlarmDisarm(s.ctx, &clientv3.AlarmMember{}))
	eventually("puts are taken again", func() bool {
		_, err := s.client.Put(s.ctx, s.key("a"), "1")
		return err == nil
	})
}

// The stream ends with the checksum of what came before it; a database is whole pages.
func maintenanceSnapshot(s *scene) {
	s.put("a", "1")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	reader := must(s.client.Snapshot(ctx))
	whole := must(io.ReadAll(reader))
	fine(reader.Close())
	expect(len(whole) > sha256.Size && len(whole)%512 == sha256.Size, "%d bytes", len(whole))
	body, tail := whole[:len(whole)-sha256.Size], whole[len(whole)-sha256.Size:]
	sum := sha256.Sum256(body)
	expect(slices.Equal(sum[:], tail), "the checksum is wrong")
}
