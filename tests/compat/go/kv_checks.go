package main

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var kvChecks = []check{
	{name: "kv.put_get_delete", run: kvPutGetDelete},
	{name: "kv.previous_values", run: kvPreviousValues},
	{name: "kv.ignore_value_and_lease", run: kvIgnore},
	{name: "kv.range_shapes", run: kvRangeShapes},
	{name: "kv.sorts", run: kvSorts},
	{name: "kv.revision_filters", run: kvRevisionFilters},
	{name: "kv.old_revisions", run: kvOldRevisions},
	{name: "kv.pages", run: kvPages},
	{name: "kv.bytes", run: kvBytes},
	{name: "kv.operations", run: kvOperations},
	{name: "kv.large_values", run: kvLargeValues},
	{name: "kv.compaction", run: kvCompaction},
	{name: "kv.concurrent_puts", run: kvConcurrentPuts},
	{name: "kv.read_your_neighbours_writes", run: kvReadNeighbours},
	{name: "kv.serializable_reads", run: kvSerializable},
	{name: "kv.range_stream", run: kvRangeStream, since: "3.7", needs: "range-stream"},
}

func (s *scene) put(name, value string, options ...clientv3.OpOption) int64 {
	return must(s.client.Put(s.ctx, s.key(name), value, options...)).Header.Revision
}

func (s *scene) get(name string, options ...clientv3.OpOption) *clientv3.GetResponse {
	return must(s.client.Get(s.ctx, s.key(name), options...))
}

// Every member has applied what was acknowledged so far. A watch that starts now and a serializable
// read are a member's own matter: without this they may begin in the past.
func (s *scene) settle() {
	for _, endpoint := range s.endpoints {
		must(s.dial(endpoint).Get(s.ctx, s.prefix))
	}
}

// Keys without the prefix, values behind "=", in the order of the answer.
func (s *scene) listed(response *clientv3.GetResponse) string {
	var parts []string
	for _, row := range response.Kvs {
		part := strings.TrimPrefix(string(row.Key), s.prefix)
		if len(row.Value) > 0 {
			part += "=" + string(row.Value)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func kvPutGetDelete(s *scene) {
	first := s.put("a", "1")
	second := s.put("a", "2")
	expect(second == first+1, "revisions %d, %d", first, second)
	row := s.get("a").Kvs[0]
	expect(string(row.Value) == "2" && row.Version == 2 && row.CreateRevision == first &&
		row.ModRevision == second && row.Lease == 0, "row %v", row)
	gone := must(s.client.Delete(s.ctx, s.key("a")))
	expect(gone.Deleted == 1 && gone.Header.Revision == second+1, "delete %v", gone)
	again := must(s.client.Delete(s.ctx, s.key("a")))
	expect(again.Deleted == 0 && again.Header.Revision == second+1, "second delete %v", again)
	empty := s.get("a")
	expect(empty.Count == 0 && len(empty.Kvs) == 0 && !empty.More, "after delete %v", empty)
	reborn := s.put("a", "3")
	row = s.get("a").Kvs[0]
	expect(row.Version == 1 && row.CreateRevision == reborn, "reborn %v", row)
	expect(empty.Header.ClusterId != 0 && empty.Header.MemberId != 0 && empty.Header.RaftTerm != 0,
		"header %v", empty.Header)
}

func kvPreviousValues(s *scene) {
	put := must(s.client.Put(s.ctx, s.key("a"), "1", clientv3.WithPrevKV()))
	expect(put.PrevKv == nil, "previous of a new key: %v", put.PrevKv)
	put = must(s.client.Put(s.ctx, s.key("a"), "2", clientv3.WithPrevKV()))
	expect(string(put.PrevKv.Value) == "1" && put.PrevKv.Version == 1, "previous: %v", put.PrevKv)
	s.put("b", "3")
	gone := must(s.client.Delete(s.ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV()))
	expect(gone.Deleted == 2 && len(gone.PrevKvs) == 2, "deleted %v", gone)
	expect(string(gone.PrevKvs[0].Value) == "2" && string(gone.PrevKvs[1].Value) == "3",
		"previous rows %v", gone.PrevKvs)
}

func kvIgnore(s *scene) {
	lease := must(s.client.Grant(s.ctx, 60)).ID
	s.put("a", "1", clientv3.WithLease(lease))
	s.put("a", "", clientv3.WithIgnoreValue())
	row := s.get("a").Kvs[0]
	expect(string(row.Value) == "1" && row.Lease == 0, "value kept, lease let go: %v", row)
	s.put("a", "1", clientv3.WithLease(lease))
	s.put("a", "2", clientv3.WithIgnoreLease())
	row = s.get("a").Kvs[0]
	expect(string(row.Value) == "2" && row.Lease == int64(lease), "lease kept: %v", row)
	for _, option := range []clientv3.OpOption{clientv3.WithIgnoreValue(), clientv3.WithIgnoreLease()} {
		_, err := s.client.Put(s.ctx, s.key("absent"), "", option)
		expect(errors.Is(err, rpctypes.ErrKeyNotFound), "ignore on an absent key: %v", err)
	}
	_, err := s.client.Put(s.ctx, s.key("a"), "3", clientv3.WithIgnoreValue())
	expect(errors.Is(err, rpctypes.ErrValueProvided), "ignored value given: %v", err)
	_, err = s.client.Put(s.ctx, s.key("a"), "3", clientv3.WithIgnoreLease(), clientv3.WithLease(lease))
	expect(errors.Is(err, rpctypes.ErrLeaseProvided), "ignored lease given: %v", err)
}

func kvRangeShapes(s *scene) {
	for _, name := range []string{"a", "b", "b/1", "b/2", "c"} {
		s.put(name, name[:1])
	}
	wanted := map[string]*clientv3.GetResponse{
		"a=a b=b b/1=b b/2=b c=c": s.get("", clientv3.WithPrefix()),
		"b=b b/1=b b/2=b":         s.get("b", clientv3.WithPrefix()),
		"b=b b/1=b":               s.get("b", clientv3.WithRange(s.key("b/2"))),
		"":                        s.get("c", clientv3.WithRange(s.key("a"))),
		"a b b/1 b/2 c":           s.get("", clientv3.WithPrefix(), clientv3.WithKeysOnly()),
	}
	for list, response := range wanted {
		expect(s.listed(response) == list, "wanted %q, got %q", list, s.listed(response))
		expect(response.Count == int64(len(response.Kvs)), "count of %q: %d", list, response.Count)
	}
	limited := s.get("", clientv3.WithPrefix(), clientv3.WithLimit(2))
	expect(s.listed(limited) == "a=a b=b" && limited.More && limited.Count == 5, "limit: %v", limited)
	exact := s.get("", clientv3.WithPrefix(), clientv3.WithLimit(5))
	expect(!exact.More && len(exact.Kvs) == 5, "a limit that suffices: %v", exact)
	counted := s.get("", clientv3.WithPrefix(), clientv3.WithCountOnly())
	expect(counted.Count == 5 && len(counted.Kvs) == 0, "count only: %v", counted)
	rest := must(s.client.Get(s.ctx, s.key("b/2"), clientv3.WithFromKey(), clientv3.WithLimit(2)))
	expect(s.listed(rest) == "b/2=b c=c", "from a key on: %q", s.listed(rest))
}

func kvSorts(s *scene) {
	s.put("x", "2")
	s.put("y", "3")
	s.put("z", "1")
	s.put("x", "2") // versions: x 2, y 1, z 1; created x y z; modified y z x
	cases := []struct {
		target clientv3.SortTarget
		up     string
		down   string
	}{
		{clientv3.SortByKey, "x y z", "z y x"},
		{clientv3.SortByVersion, "y z x", "x y z"},
		{clientv3.SortByCreateRevision, "x y z", "z y x"},
		{clientv3.SortByModRevision, "y z x", "x z y"},
		{clientv3.SortByValue, "z x y", "y x z"},
	}
	names := func(response *clientv3.GetResponse) string {
		text := ""
		for _, row := range response.Kvs {
			text += " " + strings.TrimPrefix(string(row.Key), s.prefix)
		}
		return strings.TrimSpace(text)
	}
	for _, one := range cases {
		for order, wanted := range map[clientv3.SortOrder]string{
			clientv3.SortAscend: one.up, clientv3.SortDescend: one.down} {
			got := names(s.get("", clientv3.WithPrefix(), clientv3.WithSort(one.target, order)))
			expect(got == wanted, "target %d order %d: wanted %q, got %q", one.target, order, wanted, got)
		}
	}
	expect(names(s.get("", clientv3.WithLastRev()...)) == "x", "last modified")
	expect(names(s.get("", clientv3.WithFirstCreate()...)) == "x", "first created")
	expect(names(s.get("", clientv3.WithLastKey()...)) == "z", "last key")
}

func kvRevisionFilters(s *scene) {
	first := s.put("a", "1")
	s.put("b", "2")
	third := s.put("c", "3")
	s.put("a", "4")
	cases := map[string][]clientv3.OpOption{
		"b=2 c=3":     {clientv3.WithMaxModRev(third)},
		"c=3":         {clientv3.WithMaxModRev(third), clientv3.WithMinModRev(third)},
		"a=4":         {clientv3.WithMaxCreateRev(first)},
		"b=2":         {clientv3.WithMinCreateRev(first + 1), clientv3.WithLimit(1)},
		"a=4 b=2 c=3": {clientv3.WithMinCreateRev(first)},
	}
	for wanted, options := range cases {
		response := s.get("", append(options, clientv3.WithPrefix())...)
		expect(s.listed(response) == wanted, "wanted %q, got %q", wanted, s.listed(response))
		expect(response.Count == 3, "count does not filter: %d", response.Count)
	}
}

func kvOldRevisions(s *scene) {
	first := s.put("a", "1")
	s.put("a", "2")
	third := must(s.client.Delete(s.ctx, s.key("a"))).Header.Revision
	old := s.get("a", clientv3.WithRev(first))
	expect(s.listed(old) == "a=1", "at the first revision: %v", old)
	expect(old.Header.Revision >= third, "header tells the present: %v", old.Header)
	expect(s.get("a", clientv3.WithRev(first-1)).Count == 0, "before it was born")
	expect(s.get("a", clientv3.WithRev(third)).Count == 0, "when it died")
	_, err := s.client.Get(s.ctx, s.key("a"), clientv3.WithRev(third+1000000))
	expect(errors.Is(err, rpctypes.ErrFutureRev), "the future: %v", err)
}

func kvPages(s *scene) {
	const rows, page = 250, 40
	for number := range rows {
		s.put(fmt.Sprintf("%04d", number), "v")
	}
	pinned, from, seen := int64(0), s.prefix, 0
	for more := true; more; {
		response := must(s.client.Get(s.ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.prefix)),
			clientv3.WithLimit(page), clientv3.WithRev(pinned)))
		if pinned == 0 {
			pinned = response.Header.Revision
		}
		expect(response.Count == int64(rows-seen), "count %d after %d", response.Count, seen)
		for _, row := range response.Kvs {
			expect(string(row.Key) == s.key(fmt.Sprintf("%04d", seen)), "row %d is %s", seen, row.Key)
			seen++
		}
		s.put("9999"+fmt.Sprint(seen), "new while paging")
		from, more = string(response.Kvs[len(response.Kvs)-1].Key)+"\x00", response.More
	}
	expect(seen == rows, "saw %d rows of %d", seen, rows)
}

func kvBytes(s *scene) {
	every := make([]byte, 256)
	for number := range every {
		every[number] = byte(number)
	}
	s.put("\x00"+string(every), string(every))
	s.put("\xff\xff", "")
	s.put("\xff\xff\x01", "x")
	response := s.get("\x00" + string(every))
	expect(response.Count == 1 && bytes.Equal(response.Kvs[0].Value, every), "all bytes: %v", response)
	expect(s.get("\xff\xff", clientv3.WithPrefix()).Count == 2, "a prefix that ends in 0xff")
	expect(s.get("\xff\xff").Kvs[0].Value == nil, "an empty value is there and empty")
}

func kvOperations(s *scene) {
	put := must(s.client.Do(s.ctx, clientv3.OpPut(s.key("a"), "1")))
	expect(put.Put() != nil, "put by Do")
	got := must(s.client.Do(s.ctx, clientv3.OpGet(s.key("a"))))
	expect(s.listed(got.Get()) == "a=1", "get by Do")
	both := must(s.client.Do(s.ctx, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(s.key("a")), "=", "1")},
		[]clientv3.Op{clientv3.OpPut(s.key("b"), "2")}, nil)))
	expect(both.Txn().Succeeded, "txn by Do")
	gone := must(s.client.Do(s.ctx, clientv3.OpDelete(s.prefix, clientv3.WithPrefix())))
	expect(gone.Del().Deleted == 2, "delete by Do: %v", gone.Del())
}

func kvLargeValues(s *scene) {
	large := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	s.put("large", large)
	expect(string(s.get("large").Kvs[0].Value) == large, "1 MiB came back changed")
	for number := range 6 { // an answer larger than any request may be
		s.put(fmt.Sprintf("many/%d", number), large)
	}
	rows := s.get("many/", clientv3.WithPrefix()).Kvs
	expect(len(rows) == 6 && string(rows[5].Value) == large, "6 MiB in one answer")
	_, err := s.client.Put(s.ctx, s.key("too large"), large+large[:1<<19+1<<10])
	expect(errors.Is(err, rpctypes.ErrRequestTooLarge), "1.5 MiB and some: %v", err)
	must(s.client.Delete(s.ctx, s.prefix, clientv3.WithPrefix()))
}

func kvCompaction(s *scene) {
	first := s.put("a", "1")
	second := s.put("a", "2")
	third := s.put("a", "3")
	must(s.client.Compact(s.ctx, second, clientv3.WithCompactPhysical()))
	_, err := s.client.Get(s.ctx, s.key("a"), clientv3.WithRev(first))
	expect(errors.Is(err, rpctypes.ErrCompacted), "below the compaction: %v", err)
	expect(s.listed(s.get("a", clientv3.WithRev(second))) == "a=2", "at the compaction")
	expect(s.listed(s.get("a", clientv3.WithRev(third))) == "a=3", "above it")
	_, err = s.client.Compact(s.ctx, second)
	expect(errors.Is(err, rpctypes.ErrCompacted), "compacted twice: %v", err)
	_, err = s.client.Compact(s.ctx, third+1000000)
	expect(errors.Is(err, rpctypes.ErrFutureRev), "the future compacted: %v", err)
}

func kvConcurrentPuts(s *scene) {
	const workers, each = 16, 40
	var mutex sync.Mutex
	var revisions []int64
	together(workers, func(worker int) {
		client := s.dial(s.endpoints[worker%len(s.endpoints)])
		for number := range each {
			put := must(client.Put(s.ctx, s.key(fmt.Sprintf("%d", worker)), fmt.Sprint(number)))
			mutex.Lock()
			revisions = append(revisions, put.Header.Revision)
			mutex.Unlock()
		}
	})
	sort.Slice(revisions, func(i, j int) bool { return revisions[i] < revisions[j] })
	for at := 1; at < len(revisions); at++ {
		expect(revisions[at] == revisions[at-1]+1, "revisions %d, %d", revisions[at-1], revisions[at])
	}
	for _, row := range s.get("", clientv3.WithPrefix()).Kvs {
		expect(row.Version == each && string(row.Value) == fmt.Sprint(each-1), "last row %v", row)
	}
}

func kvReadNeighbours(s *scene) {
	writer, reader := s.dial(s.endpoints[0]), s.dial(s.endpoints[1])
	for number := range 100 {
		put := must(writer.Put(s.ctx, s.key("a"), fmt.Sprint(number)))
		got := must(reader.Get(s.ctx, s.key("a")))
		expect(got.Kvs[0].ModRevision >= put.Header.Revision, "a stale read: %v after %v", got, put)
		writer, reader = reader, writer
	}
}

func kvSerializable(s *scene) {
	revision := s.put("a", "1")
	for _, endpoint := range s.endpoints {
		client := s.dial(endpoint)
		eventually(endpoint+" has the row", func() bool {
			got := must(client.Get(s.ctx, s.key("a"), clientv3.WithSerializable()))
			return got.Count == 1 && got.Header.Revision >= revision
		})
	}
}

func kvRangeStream(s *scene) {
	large := strings.Repeat("x", 1<<14)
	for number := range 300 {
		s.put(fmt.Sprintf("%04d", number), large)
	}
	stream := must(s.client.GetStream(s.ctx, s.prefix, clientv3.WithPrefix()))
	seen, pieces := 0, 0
	for piece := range stream {
		fine(piece.Err())
		for _, row := range piece.RangeResponse.Kvs {
			expect(string(row.Key) == s.key(fmt.Sprintf("%04d", seen)), "row %d is %s", seen, row.Key)
			seen++
		}
		pieces++
	}
	expect(seen == 300 && pieces > 1, "%d rows in %d pieces", seen, pieces)
	// Whatever the options, the pieces together are what Get says.
	before := must(s.client.Get(s.ctx, s.key("0000"))).Header.Revision
	s.put("0007", "new")
	for _, options := range [][]clientv3.OpOption{
		{clientv3.WithPrefix()},
		{clientv3.WithPrefix(), clientv3.WithLimit(7)},
		{clientv3.WithPrefix(), clientv3.WithLimit(250)},
		{clientv3.WithPrefix(), clientv3.WithLimit(300)},
		{clientv3.WithPrefix(), clientv3.WithKeysOnly()},
		{clientv3.WithPrefix(), clientv3.WithCountOnly()},
		{clientv3.WithPrefix(), clientv3.WithRev(before)},
	} {
		whole := must(s.client.Get(s.ctx, s.prefix, options...))
		merged := must(clientv3.GetStreamToGetResponse(must(s.client.GetStream(s.ctx, s.prefix, options...))))
		whole.Header.MemberId, merged.Header.MemberId = 0, 0 // perhaps two members answered
		expect(proto.Equal((*pb.RangeResponse)(whole), (*pb.RangeResponse)(merged)), "a stream differs from Get: %d and %d rows, count %d and %d", len(whole.Kvs), len(merged.Kvs), whole.Count, merged.Count)
	}
	sorted := must(s.client.GetStream(s.ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)))
	_, err := clientv3.GetStreamToGetResponse(sorted)
	expect(status.Code(err) == codes.Unimplemented, "a sorted stream: %v", err)
	must(s.client.Delete(s.ctx, s.prefix, clientv3.WithPrefix()))
}
