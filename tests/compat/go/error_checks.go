package main

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errorChecks = []check{
	{name: "error.empty_keys", run: errorEmptyKeys},
	{name: "error.codes", run: errorCodes},
	{name: "error.sort_options", run: errorSortOptions, since: "3.5"},
	{name: "error.contexts", run: errorContexts},
	{name: "error.unknown_method", run: errorUnknownMethod},
	{name: "error.members", run: errorMembers},
	{name: "error.leadership", run: errorLeadership},
}

func errorEmptyKeys(s *scene) {
	_, err := s.client.Put(s.ctx, "", "1")
	expect(errors.Is(err, rpctypes.ErrEmptyKey), "put: %v", err)
	_, err = s.client.Delete(s.ctx, "")
	expect(errors.Is(err, rpctypes.ErrEmptyKey), "delete: %v", err)
	_, err = s.client.Get(s.ctx, "")
	expect(errors.Is(err, rpctypes.ErrEmptyKey), "get: %v", err)
}

// What a program finds when it asks for the code itself and not for etcd's error.
func errorCodes(s *scene) {
	keys := pb.NewKVClient(s.client.ActiveConnection())
	_, err := keys.Range(s.ctx, &pb.RangeRequest{Key: []byte("a"), Revision: 1 << 60})
	expect(status.Code(err) == codes.OutOfRange, "future: %v", err)
	_, err = keys.Put(s.ctx, &pb.PutRequest{Key: []byte("a"), Lease: 987654321})
	expect(status.Code(err) == codes.NotFound, "lease: %v", err)
	_, err = keys.Put(s.ctx, &pb.PutRequest{})
	expect(status.Code(err) == codes.InvalidArgument, "key: %v", err)
	_, err = keys.Compact(s.ctx, &pb.CompactionRequest{Revision: 1 << 60})
	expect(status.Code(err) == codes.OutOfRange, "compact: %v", err)
	var found rpctypes.EtcdError
	_, err = s.client.Put(s.ctx, "", "")
	expect(errors.As(err, &found) && found.Code() == codes.InvalidArgument, "as a type: %v", err)
	_, err = keys.Txn(s.ctx, &pb.TxnRequest{Success: []*pb.RequestOp{{}}})
	expect(errors.Is(rpctypes.Error(err), rpctypes.ErrKeyNotFound), "an operation that is none: %v", err)
}

func errorSortOptions(s *scene) {
	keys := pb.NewKVClient(s.client.ActiveConnection())
	_, err := keys.Range(s.ctx, &pb.RangeRequest{Key: []byte("a"), SortOrder: 17})
	expect(errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidSortOption), "order 17: %v", err)
	_, err = keys.Range(s.ctx, &pb.RangeRequest{Key: []byte("a"), SortTarget: 17})
	expect(errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidSortOption), "target 17: %v", err)
}

func errorContexts(s *scene) {
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.client.Get(cancelled, s.key("a"))
	expect(errors.Is(err, context.Canceled), "cancelled: %v", err)
	late, stop := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer stop()
	_, err = s.client.Put(late, s.key("a"), "1")
	expect(errors.Is(err, context.DeadlineExceeded), "late: %v", err)
	client := s.dial(s.endpoints...)
	client.Close()
	_, err = client.Get(s.ctx, s.key("a"))
	expect(err != nil && clientv3.IsConnCanceled(err), "closed: %v", err)
}

func errorUnknownMethod(s *scene) {
	connection := s.client.ActiveConnection()
	for _, method := range []string{"/etcdserverpb.KV/Nothing", "/nobody.Nothing/Nothing"} {
		err := connection.Invoke(s.ctx, method, &pb.RangeRequest{}, &pb.RangeResponse{})
		expect(status.Code(err) == codes.Unimplemented, "%s: %v", method, err)
	}
}

func errorMembers(s *scene) {
	_, err := s.client.MemberRemove(s.ctx, 1234)
	expect(errors.Is(err, rpctypes.ErrMemberNotFound), "remove: %v", err)
	_, err = s.client.MemberUpdate(s.ctx, 1234, []string{"http://127.0.0.1:1"})
	expect(errors.Is(err, rpctypes.ErrMemberNotFound), "update: %v", err)
	_, err = s.client.MemberPromote(s.ctx, 1234)
	expect(errors.Is(err, rpctypes.ErrMemberNotFound), "promote: %v", err)
	first := must(s.client.MemberList(s.ctx)).Members[0]
	_, err = s.client.MemberPromote(s.ctx, first.ID)
	expect(errors.Is(err, rpctypes.ErrMemberNotLearner), "promote a voter: %v", err)
	plain := pb.NewClusterClient(s.client.ActiveConnection())
	_, err = plain.MemberAdd(s.ctx, &pb.MemberAddRequest{PeerURLs: []string{"nonsense"}})
	expect(errors.Is(rpctypes.Error(err), rpctypes.ErrMemberBadURLs), "bad URLs: %v", err)
}

func errorLeadership(s *scene) {
	followers := s.followers()
	target := must(s.client.Status(s.ctx, followers[1])).Header.MemberId
	_, err := s.dial(followers[0]).MoveLeader(s.ctx, target)
	expect(errors.Is(err, rpctypes.ErrNotLeader), "asked of a follower: %v", err)
	_, leading := s.control.leader()
	_, err = s.dial(leading).MoveLeader(s.ctx, 1234)
	expect(errors.Is(err, rpctypes.ErrBadLeaderTransferee), "to nobody: %v", err)
}
