package main

import (
	"errors"
	"fmt"
	"strconv"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var txnChecks = []check{
	{name: "txn.branches", run: txnBranches},
	{name: "txn.comparisons", run: txnComparisons},
	{name: "txn.range_comparisons", run: txnRangeComparisons},
	{name: "txn.nested", run: txnNested},
	{name: "txn.one_revision", run: txnOneRevision},
	{name: "txn.refusals", run: txnRefusals},
	// Debian's etcd 3.4.23 fails it in a cluster: the members that did not answer the client
	// do what was refused, and differ from then on (HashKV shows it).
	{name: "txn.all_or_nothing", run: txnAllOrNothing, since: "3.5"},
	{name: "txn.contended_counter", run: txnContendedCounter},
}

func (s *scene) when(comparisons ...clientv3.Cmp) clientv3.Txn {
	return s.client.Txn(s.ctx).If(comparisons...)
}

// Whether they hold. The read makes the question linearizable: a txn without any operation may be
// answered by a member that lags.
func (s *scene) holds(comparisons ...clientv3.Cmp) bool {
	return must(s.when(comparisons...).Then(clientv3.OpGet(s.prefix)).Commit()).Succeeded
}

func txnBranches(s *scene) {
	absent := clientv3.Compare(clientv3.CreateRevision(s.key("a")), "=", 0)
	create := s.when(absent).Then(clientv3.OpPut(s.key("a"), "1")).Else(clientv3.OpGet(s.key("a")))
	response := must(create.Commit())
	expect(response.Succeeded && response.Responses[0].GetResponsePut() != nil, "created: %v", response)
	create = s.when(absent).Then(clientv3.OpPut(s.key("a"), "2")).Else(clientv3.OpGet(s.key("a")))
	again := must(create.Commit())
	found := again.Responses[0].GetResponseRange()
	expect(!again.Succeeded && string(found.Kvs[0].Value) == "1", "not created: %v", again)
	expect(again.Header.Revision == response.Header.Revision, "a read made a revision: %v", again)
	empty := must(s.client.Txn(s.ctx).Commit())
	expect(empty.Succeeded && len(empty.Responses) == 0, "nothing at all: %v", empty)
}

func txnComparisons(s *scene) {
	lease := must(s.client.Grant(s.ctx, 60)).ID
	created := s.put("a", "m")
	modified := s.put("a", "m", clientv3.WithLease(lease))
	key := s.key("a")
	holds := []clientv3.Cmp{
		clientv3.Compare(clientv3.Value(key), "=", "m"),
		clientv3.Compare(clientv3.Value(key), "!=", "n"),
		clientv3.Compare(clientv3.Value(key), ">", "l"),
		clientv3.Compare(clientv3.Value(key), "<", "ma"),
		clientv3.Compare(clientv3.Version(key), "=", 2),
		clientv3.Compare(clientv3.Version(key), ">", 1),
		clientv3.Compare(clientv3.CreateRevision(key), "=", created),
		clientv3.Compare(clientv3.ModRevision(key), "=", modified),
		clientv3.Compare(clientv3.ModRevision(key), "<", modified+1),
		clientv3.Compare(clientv3.LeaseValue(key), "=", lease),
		clientv3.Compare(clientv3.Version(s.key("absent")), "=", 0),
		clientv3.Compare(clientv3.ModRevision(s.key("absent")), "<", 1),
	}
	expect(s.holds(holds...), "all of these hold")
	broken := []clientv3.Cmp{
		clientv3.Compare(clientv3.Value(key), "!=", "m"),
		clientv3.Compare(clientv3.Value(key), ">", "m"),
		clientv3.Compare(clientv3.Version(key), "<", 2),
		clientv3.Compare(clientv3.CreateRevision(key), ">", created),
		clientv3.Compare(clientv3.LeaseValue(key), "!=", lease),
		clientv3.Compare(clientv3.Version(s.key("absent")), "!=", 0),
		// A row that is not there has no value, not an empty one: no comparison with it holds.
		clientv3.Compare(clientv3.Value(s.key("absent")), "=", ""),
		clientv3.Compare(clientv3.Value(s.key("absent")), "!=", "x"),
	}
	for number, one := range broken {
		expect(!s.holds(holds[0], one), "broken comparison %d held", number)
	}
}

func txnRangeComparisons(s *scene) {
	for number := range 4 {
		s.put(fmt.Sprintf("row/%d", number), "same")
	}
	rows := clientv3.Value(s.key("row/")).WithPrefix()
	expect(s.holds(clientv3.Compare(rows, "=", "same")), "all are the same")
	s.put("row/2", "other")
	expect(!s.holds(clientv3.Compare(rows, "=", "same")), "one is not")
	part := clientv3.Value(s.key("row/0")).WithRange(s.key("row/2"))
	expect(s.holds(clientv3.Compare(part, "=", "same")), "the first two are")
	none := clientv3.Version(s.key("none/")).WithPrefix()
	expect(s.holds(clientv3.Compare(none, "=", 0)), "an empty range is zero")
}

func txnNested(s *scene) {
	s.put("a", "1")
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(s.key("a")), "=", "2")},
		[]clientv3.Op{clientv3.OpPut(s.key("inner"), "saw it"), clientv3.OpGet(s.key("a"))},
		[]clientv3.Op{clientv3.OpPut(s.key("inner"), "did not")})
	response := must(s.when(clientv3.Compare(clientv3.Value(s.key("a")), "=", "1")).Then(
		clientv3.OpPut(s.key("b"), "2"), inner, clientv3.OpGet(s.prefix, clientv3.WithPrefix())).Commit())
	expect(response.Succeeded, "outer: %v", response)
	// Comparisons are made before the first operation, those inside as well.
	expect(!response.Responses[1].GetResponseTxn().Succeeded, "inner: %v", response)
	rows := (*clientv3.GetResponse)(response.Responses[2].GetResponseRange())
	expect(s.listed(rows) == "a=1 b=2 inner=did not", "read inside: %q", s.listed(rows))
}

func txnOneRevision(s *scene) {
	before := s.put("gone", "1")
	response := must(s.when().Then(clientv3.OpPut(s.key("a"), "1"), clientv3.OpPut(s.key("b"), "2"),
		clientv3.OpDelete(s.key("gone"), clientv3.WithPrevKV()),
		clientv3.OpGet(s.key("a"))).Commit())
	expect(response.Header.Revision == before+1, "revision %d", response.Header.Revision)
	for _, row := range s.get("", clientv3.WithPrefix()).Kvs {
		expect(row.ModRevision == before+1 && row.CreateRevision == before+1, "row %v", row)
	}
	gone := response.Responses[2].GetResponseDeleteRange()
	expect(gone.Deleted == 1 && string(gone.PrevKvs[0].Value) == "1", "deleted %v", gone)
	expect(response.Responses[3].GetResponseRange().Kvs[0].ModRevision == before+1, "own write")
}

func txnRefusals(s *scene) {
	put := func(name string) clientv3.Op { return clientv3.OpPut(s.key(name), "x") }
	refused := func(what string, wanted error, operations ...clientv3.Op) {
		_, err := s.when().Then(operations...).Commit()
		expect(errors.Is(err, wanted), "%s: %v", what, err)
	}
	refused("a key put twice", rpctypes.ErrDuplicateKey, put("a"), put("a"))
	refused("a key put and deleted", rpctypes.ErrDuplicateKey, put("a"), clientv3.OpDelete(s.key("a")))
	refused("a key put inside again", rpctypes.ErrDuplicateKey, put("a"),
		clientv3.OpTxn(nil, []clientv3.Op{put("a")}, nil))
	refused("a put in a deleted range", rpctypes.ErrDuplicateKey, put("a/1"),
		clientv3.OpDelete(s.key("a/"), clientv3.WithPrefix()))
	refused("a put without a key", rpctypes.ErrEmptyKey, clientv3.OpPut("", "x"))
	refused("an unknown lease", rpctypes.ErrLeaseNotFound,
		clientv3.OpPut(s.key("a"), "x", clientv3.WithLease(123456789)))
	many := make([]clientv3.Op, 129)
	for number := range many {
		many[number] = put(strconv.Itoa(number))
	}
	refused("129 operations", rpctypes.ErrTooManyOps, many...)
	expect(s.get("", clientv3.WithPrefix()).Count == 0, "what was refused left something")
	must(s.when().Then(many[:128]...).Commit())
	must(s.when().Then(clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Version("x"), "=", 0)},
		[]clientv3.Op{put("a")}, []clientv3.Op{put("a")})).Commit())
}

func txnAllOrNothing(s *scene) {
	old := s.put("a", "1")
	now := s.put("a", "2")
	must(s.client.Compact(s.ctx, now))
	_, err := s.when().Then(clientv3.OpPut(s.key("b"), "x"),
		clientv3.OpGet(s.key("a"), clientv3.WithRev(old))).Commit()
	expect(errors.Is(err, rpctypes.ErrCompacted), "a compacted read inside: %v", err)
	_, err = s.when().Then(clientv3.OpPut(s.key("b"), "x"),
		clientv3.OpGet(s.key("a"), clientv3.WithRev(now+1000000))).Commit()
	expect(errors.Is(err, rpctypes.ErrFutureRev), "a read of the future inside: %v", err)
	after := s.get("b")
	expect(after.Count == 0 && after.Header.Revision == now, "half of it was done: %v", after)
}

func txnContendedCounter(s *scene) {
	const workers, each = 6, 15
	s.put("counter", "0")
	together(workers, func(worker int) {
		client := s.dial(s.endpoints[worker%len(s.endpoints)])
		for done := 0; done < each; {
			row := must(client.Get(s.ctx, s.key("counter"))).Kvs[0]
			number := must(strconv.Atoi(string(row.Value)))
			response := must(client.Txn(s.ctx).
				If(clientv3.Compare(clientv3.ModRevision(s.key("counter")), "=", row.ModRevision)).
				Then(clientv3.OpPut(s.key("counter"), strconv.Itoa(number+1))).Commit())
			if response.Succeeded {
				done++
			}
		}
	})
	final := string(s.get("counter").Kvs[0].Value)
	expect(final == strconv.Itoa(workers*each), "the counter is %s", final)
}
