package main

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/ordering"
)

var wrapperChecks = []check{
	{name: "namespace.keys_watches_leases", run: namespaceAll},
	{name: "leasing.cached_reads", run: leasingCached},
	{name: "leasing.transactions", run: leasingTransactions},
	{name: "leasing.over_a_killed_leader", run: leasingFailover, disrupt: true},
	{name: "mirror.base_and_updates", run: mirrorBoth},
	{name: "ordering.never_back", run: orderingNeverBack},
	{name: "naming.endpoints", run: namingEndpoints},
	{name: "kubernetes.optimistic_writes", run: kubernetesWrites},
	{name: "kubernetes.lists", run: kubernetesLists},
	{name: "kubernetes.watch_cache", run: kubernetesWatch},
}

func namespaceAll(s *scene) {
	keys := namespace.NewKV(s.client.KV, s.key("space/"))
	watcher := namespace.NewWatcher(s.client.Watcher, s.key("space/"))
	leases := namespace.NewLease(s.client.Lease, s.key("space/"))
	channel := watcher.Watch(s.ctx, "", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	expect(receive("creation", channel).Created, "created")
	lease := s.grant(60)
	must(keys.Put(s.ctx, "a", "1", clientv3.WithLease(lease)))
	s.put("outside", "2", clientv3.WithLease(lease))
	expect(s.listed(s.get("", clientv3.WithPrefix())) == "outside=2 space/a=1", "where it is")
	got := must(keys.Get(s.ctx, "", clientv3.WithPrefix()))
	expect(got.Count == 1 && string(got.Kvs[0].Key) == "a", "seen inside: %v", got)
	event := receive("an event inside", channel).Events[0]
	expect(string(event.Kv.Key) == "a", "event inside: %v", event)
	attached := must(leases.TimeToLive(s.ctx, lease, clientv3.WithAttachedKeys())).Keys
	expect(len(attached) == 1 && string(attached[0]) == "a", "keys of the lease inside: %s", attached)
	response := must(keys.Txn(s.ctx).If(clientv3.Compare(clientv3.Value("a"), "=", "1")).
		Then(clientv3.OpPut("b", "3"), clientv3.OpDelete("a", clientv3.WithPrevKV())).Commit())
	gone := response.Responses[1].GetResponseDeleteRange()
	expect(response.Succeeded && string(gone.PrevKvs[0].Key) == "a", "txn inside: %v", response)
	expect(must(keys.Delete(s.ctx, "", clientv3.WithFromKey())).Deleted == 1, "all inside, no more")
	expect(s.get("outside").Count == 1, "the outside was touched")
}

func (s *scene) leasingClient() (clientv3.KV, func()) {
	client, done, err := leasing.NewKV(s.dial(s.endpoints...), s.key("leases/"), concurrency.WithTTL(10))
	fine(err)
	return client, done
}

func leasingCached(s *scene) {
	first, closeFirst := s.leasingClient()
	defer closeFirst()
	second, closeSecond := s.leasingClient()
	defer closeSecond()
	key := s.key("a")
	must(first.Put(s.ctx, key, "1"))
	expect(string(must(first.Get(s.ctx, key)).Kvs[0].Value) == "1", "read by its owner")
	expect(s.get("leases/", clientv3.WithPrefix()).Count == 1, "the owner has a key for it")
	expect(string(must(second.Get(s.ctx, key)).Kvs[0].Value) == "1", "read by another")
	for number := range 10 { // the owner has to give up its copy before another may write
		value := fmt.Sprint(number)
		must(second.Put(s.ctx, key, value))
		got := must(first.Get(s.ctx, key))
		expect(string(got.Kvs[0].Value) == value, "the owner read an old copy: %v", got)
		must(first.Put(s.ctx, key, value+value))
		got = must(second.Get(s.ctx, key))
		expect(string(got.Kvs[0].Value) == value+value, "another read an old copy: %v", got)
	}
	must(second.Delete(s.ctx, key))
	expect(must(first.Get(s.ctx, key)).Count == 0, "deleted by another")
}

func leasingTransactions(s *scene) {
	first, closeFirst := s.leasingClient()
	defer closeFirst()
	second, closeSecond := s.leasingClient()
	defer closeSecond()
	for _, name := range []string{"a", "b"} {
		must(first.Put(s.ctx, s.key(name), "1"))
		must(first.Get(s.ctx, s.key(name)))
	}
	response := must(second.Txn(s.ctx).If(clientv3.Compare(clientv3.Value(s.key("a")), "=", "1")).
		Then(clientv3.OpPut(s.key("a"), "2"), clientv3.OpDelete(s.key("b"))).
		Else(clientv3.OpGet(s.key("a"))).Commit())
	expect(response.Succeeded, "txn of another %v", response)
	expect(string(must(first.Get(s.ctx, s.key("a"))).Kvs[0].Value) == "2", "the owner sees the put")
	expect(must(first.Get(s.ctx, s.key("b"))).Count == 0, "the owner sees the delete")
	cached := must(first.Txn(s.ctx).If(clientv3.Compare(clientv3.Value(s.key("a")), "=", "2")).
		Then(clientv3.OpGet(s.key("a"))).Commit())
	expect(cached.Succeeded && len(cached.Responses) == 1, "txn of the owner %v", cached)
}

func leasingFailover(s *scene) {
	first, closeFirst := s.leasingClient()
	defer closeFirst()
	second, closeSecond := s.leasingClient()
	defer closeSecond()
	must(first.Put(s.ctx, s.key("a"), "1"))
	must(first.Get(s.ctx, s.key("a")))
	s.control.killLeader()
	eventually("another writes", func() bool {
		_, err := second.Put(s.ctx, s.key("a"), "2")
		return err == nil
	})
	eventually("the owner reads", func() bool {
		got, err := first.Get(s.ctx, s.key("a"))
		if err != nil {
			return false
		}
		expect(string(got.Kvs[0].Value) == "2", "an old copy after the failover: %v", got)
		return true
	})
}

func mirrorBoth(s *scene) {
	const rows = 1200 // more than the mirror asks for at once
	operations := []clientv3.Op{}
	for number := range rows {
		operations = append(operations, clientv3.OpPut(s.key(fmt.Sprintf("%04d", number)), "x"))
		if len(operations) == 100 {
			must(s.when().Then(operations...).Commit())
			operations = nil
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	syncer := mirror.NewSyncer(s.client, s.prefix, 0)
	base, problems := syncer.SyncBase(ctx)
	seen := 0
	for response := range base {
		seen += len(response.Kvs)
	}
	fine(<-problems)
	expect(seen == rows, "the base has %d rows of %d", seen, rows)
	updates := syncer.SyncUpdates(ctx)
	s.put("new", "1")
	must(s.client.Delete(s.ctx, s.key("0001")))
	s.expectEvents(updates, "PUT new=1", "DELETE 0001")
}

func orderingNeverBack(s *scene) {
	client := s.dial(s.endpoints...)
	keys := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
	last := int64(0)
	for number := range 50 {
		s.put("a", fmt.Sprint(number))
		got, err := keys.Get(s.ctx, s.key("a"), clientv3.WithSerializable())
		if err == ordering.ErrNoGreaterRev { // all members were behind each time it asked
			continue
		}
		fine(err)
		expect(got.Header.Revision >= last, "back from %d to %d", last, got.Header.Revision)
		last = got.Header.Revision
	}
	must(keys.Txn(s.ctx).Then(clientv3.OpPut(s.key("b"), "x")).Commit())
}

func namingEndpoints(s *scene) {
	manager := must(endpoints.NewManager(s.client, s.key("service")))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	updates := must(manager.NewWatchChannel(ctx))
	lease := s.grant(60)
	name := s.key("service/one")
	fine(manager.AddEndpoint(s.ctx, name, endpoints.Endpoint{Addr: "127.0.0.1:1"}, clientv3.WithLease(lease)))
	added := receive("an address", updates)[0]
	expect(added.Op == endpoints.Add && added.Endpoint.Addr == "127.0.0.1:1", "added %v", added)
	s.settle() // the list is a serializable read
	expect(must(manager.List(s.ctx))[name].Addr == "127.0.0.1:1", "listed")
	must(s.client.Revoke(s.ctx, lease))
	gone := receive("an address gone", updates)[0]
	expect(gone.Op == endpoints.Delete && gone.Key == name, "gone %v", gone)
}

func (s *scene) kubernetesClient() *kubernetes.Client {
	client := must(kubernetes.New(configuration(s.ctx, s.endpoints)))
	context.AfterFunc(s.ctx, func() { client.Close() })
	return client
}

func kubernetesWrites(s *scene) {
	client, key := s.kubernetesClient(), s.key("pods/a")
	created := must(client.Kubernetes.OptimisticPut(s.ctx, key, []byte("1"), 0, kubernetes.PutOptions{}))
	expect(created.Succeeded, "created %v", created)
	lost := must(client.Kubernetes.OptimisticPut(s.ctx, key, []byte("2"), 0,
		kubernetes.PutOptions{GetOnFailure: true}))
	expect(!lost.Succeeded && lost.KV.ModRevision == created.Revision, "conflict %v", lost)
	updated := must(client.Kubernetes.OptimisticPut(s.ctx, key, []byte("2"), created.Revision,
		kubernetes.PutOptions{LeaseID: s.grant(60)}))
	expect(updated.Succeeded && updated.Revision == created.Revision+1, "updated %v", updated)
	kept := must(client.Kubernetes.OptimisticDelete(s.ctx, key, created.Revision,
		kubernetes.DeleteOptions{GetOnFailure: true}))
	expect(!kept.Succeeded && string(kept.KV.Value) == "2", "deleted with an old revision: %v", kept)
	gone := must(client.Kubernetes.OptimisticDelete(s.ctx, key, updated.Revision, kubernetes.DeleteOptions{}))
	expect(gone.Succeeded, "deleted %v", gone)
	expect(must(client.Kubernetes.Get(s.ctx, key, kubernetes.GetOptions{})).KV == nil, "still there")
	old := must(client.Kubernetes.Get(s.ctx, key, kubernetes.GetOptions{Revision: updated.Revision}))
	expect(string(old.KV.Value) == "2", "its past %v", old)
}

func kubernetesLists(s *scene) {
	client, prefix := s.kubernetesClient(), s.key("pods/")
	for number := range 25 {
		s.put(fmt.Sprintf("pods/%02d", number), "x")
	}
	expect(must(client.Kubernetes.Count(s.ctx, prefix, kubernetes.CountOptions{})) == 25, "count")
	options, seen := kubernetes.ListOptions{Limit: 10}, 0
	for {
		page := must(client.Kubernetes.List(s.ctx, prefix, options))
		expect(page.Count == int64(25-seen), "remaining %d after %d", page.Count, seen)
		seen += len(page.Kvs)
		if seen == 25 {
			return
		}
		s.put(fmt.Sprintf("pods/%02d/new", seen+5), "unseen at the revision of the list")
		options.Revision = page.Revision
		options.Continue = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// A list, then a watch from its revision on with everything that a watch cache asks for.
func kubernetesWatch(s *scene) {
	first := s.put("pods/a", "1")
	list := s.get("pods/", clientv3.WithPrefix())
	channel := s.client.Watch(clientv3.WithRequireLeader(s.ctx), s.key("pods/"), clientv3.WithPrefix(),
		clientv3.WithRev(list.Header.Revision+1), clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	s.put("pods/a", "2")
	must(s.client.Delete(s.ctx, s.key("pods/a")))
	must(s.client.Compact(s.ctx, first+1))
	var events []*clientv3.Event
	for len(events) < 2 {
		response := receive("changes", channel)
		fine(response.Err())
		events = append(events, response.Events...)
	}
	for number, event := range events {
		expect(event.PrevKv != nil && string(event.PrevKv.Value) == fmt.Sprint(number+1),
			"event %d without what was before: %v", number, event)
	}
}
