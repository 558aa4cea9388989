package main

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The last ones: they turn authentication on for the whole cluster, and off again.
var authChecks = []check{
	{name: "auth.users_and_roles", run: authUsers, needs: "auth"},
	{name: "auth.permissions", run: authPermissions, needs: "auth"},
	{name: "auth.tokens", run: authTokens, needs: "auth"},
	// Debian's etcd 3.4.23 fails it in a cluster like txn.all_or_nothing.
	{name: "auth.denied_transactions", run: authDeniedTransactions, needs: "auth", since: "3.5"},
}

func authUsers(s *scene) {
	must(s.client.UserAdd(s.ctx, "ann", "secret"))
	_, err := s.client.UserAdd(s.ctx, "ann", "secret")
	expect(errors.Is(err, rpctypes.ErrUserAlreadyExist), "added twice: %v", err)
	_, err = s.client.UserAdd(s.ctx, "", "secret")
	expect(errors.Is(err, rpctypes.ErrUserEmpty), "no name: %v", err)
	_, err = s.client.UserGrantRole(s.ctx, "ann", "reader")
	expect(errors.Is(err, rpctypes.ErrRoleNotFound), "no such role: %v", err)
	must(s.client.RoleAdd(s.ctx, "reader"))
	_, err = s.client.RoleAdd(s.ctx, "reader")
	expect(errors.Is(err, rpctypes.ErrRoleAlreadyExist), "role added twice: %v", err)
	must(s.client.RoleGrantPermission(s.ctx, "reader", "a", "b", clientv3.PermissionType(clientv3.PermRead)))
	must(s.client.UserGrantRole(s.ctx, "ann", "reader"))
	user := must(s.client.UserGet(s.ctx, "ann"))
	expect(len(user.Roles) == 1 && user.Roles[0] == "reader", "user %v", user)
	role := must(s.client.RoleGet(s.ctx, "reader"))
	expect(len(role.Perm) == 1 && string(role.Perm[0].RangeEnd) == "b", "role %v", role)
	_, err = s.client.RoleRevokePermission(s.ctx, "reader", "x", "")
	expect(errors.Is(err, rpctypes.ErrPermissionNotGranted), "a permission it has not: %v", err)
	_, err = s.client.AuthEnable(s.ctx)
	expect(errors.Is(err, rpctypes.ErrRootUserNotExist), "enabled without root: %v", err)
	_, err = s.client.Authenticate(s.ctx, "ann", "secret")
	expect(errors.Is(err, rpctypes.ErrAuthNotEnabled), "authenticated for nothing: %v", err)
	must(s.client.RoleDelete(s.ctx, "reader"))
	expect(len(must(s.client.UserGet(s.ctx, "ann")).Roles) == 0, "a role that is gone is still had")
	must(s.client.UserDelete(s.ctx, "ann"))
	_, err = s.client.UserGet(s.ctx, "ann")
	expect(errors.Is(err, rpctypes.ErrUserNotFound), "a user who is gone: %v", err)
}

func (s *scene) login(name, password string) *clientv3.Client {
	settings := configuration(s.ctx, s.endpoints)
	settings.Username, settings.Password = name, password
	return must(clientv3.New(settings))
}

// Runs it with authentication on: root may do all, bob what is below team/. Whatever happens,
// nothing of it stays.
func (s *scene) withAuthentication(run func(root, bob *clientv3.Client)) {
	must(s.client.UserAdd(s.ctx, "root", "root's"))
	must(s.client.RoleAdd(s.ctx, "root"))
	must(s.client.UserGrantRole(s.ctx, "root", "root"))
	must(s.client.UserAdd(s.ctx, "bob", "bob's"))
	must(s.client.RoleAdd(s.ctx, "team"))
	must(s.client.RoleGrantPermission(s.ctx, "team", s.key("team/"),
		clientv3.GetPrefixRangeEnd(s.key("team/")), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(s.client.UserGrantRole(s.ctx, "bob", "team"))
	must(s.client.AuthEnable(s.ctx))
	root := s.login("root", "root's")
	defer root.Close()
	defer func() {
		must(root.AuthDisable(s.ctx))
		s.settle()
		for _, name := range []string{"root", "bob"} {
			must(s.client.UserDelete(s.ctx, name))
		}
		for _, name := range []string{"root", "team"} {
			must(s.client.RoleDelete(s.ctx, name))
		}
	}()
	bob := s.login("bob", "bob's")
	defer bob.Close()
	run(root, bob)
}

func authPermissions(s *scene) {
	s.withAuthentication(func(root, bob *clientv3.Client) {
		must(bob.Put(s.ctx, s.key("team/a"), "1"))
		expect(must(bob.Get(s.ctx, s.key("team/"), clientv3.WithPrefix())).Count == 1, "his own")
		denied := func(what string, err error) {
			expect(errors.Is(err, rpctypes.ErrPermissionDenied), "%s: %v", what, err)
		}
		_, err := bob.Put(s.ctx, s.key("other"), "1")
		denied("put elsewhere", err)
		_, err = bob.Get(s.ctx, s.prefix, clientv3.WithPrefix())
		denied("more than his range", err)
		_, err = bob.UserAdd(s.ctx, "eve", "x")
		denied("administration", err)
		must(root.Put(s.ctx, s.key("other"), "1"))
		allowed := bob.Watch(s.ctx, s.key("team/"), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		expect(receive("creation", allowed).Created, "created")
		must(bob.Put(s.ctx, s.key("team/b"), "2"))
		s.expectEvents(allowed, "PUT team/b=2")
		refused := receive("a denied watch", bob.Watch(s.ctx, s.key("other")))
		expect(refused.Canceled && refused.Err() != nil, "watch elsewhere: %v", refused)
		lease := must(bob.Grant(s.ctx, 60)).ID
		must(bob.Put(s.ctx, s.key("team/a"), "3", clientv3.WithLease(lease)))
		must(bob.Revoke(s.ctx, lease))
	})
}

func authTokens(s *scene) {
	s.withAuthentication(func(root, bob *clientv3.Client) {
		_, err := s.client.Get(s.ctx, s.key("team/a"))
		expect(errors.Is(err, rpctypes.ErrUserEmpty), "nobody in particular: %v", err)
		settings := configuration(s.ctx, s.endpoints)
		settings.Username, settings.Password = "bob", "wrong"
		_, err = clientv3.New(settings)
		expect(errors.Is(err, rpctypes.ErrAuthFailed), "a wrong password: %v", err)
		must(bob.Put(s.ctx, s.key("team/a"), "1"))
		// Every change of users and roles makes the tokens old; the client gets itself new ones.
		must(root.UserAdd(s.ctx, "eve", "eve's"))
		must(root.UserDelete(s.ctx, "eve"))
		must(bob.Put(s.ctx, s.key("team/a"), "2"))
		team := s.key("team/")
		must(root.RoleRevokePermission(s.ctx, "team", team, clientv3.GetPrefixRangeEnd(team)))
		_, err = bob.Put(s.ctx, s.key("team/a"), "3")
		expect(errors.Is(err, rpctypes.ErrPermissionDenied), "what was taken away: %v", err)
	})
}

func authDeniedTransactions(s *scene) {
	s.withAuthentication(func(root, bob *clientv3.Client) {
		mine := clientv3.OpPut(s.key("team/b"), "1")
		for what, operation := range map[string]clientv3.Op{
			"reads":   clientv3.OpGet(s.key("other")),
			"writes":  clientv3.OpPut(s.key("other"), "1"),
			"deletes": clientv3.OpDelete(s.key("other")),
			"nested":  clientv3.OpTxn(nil, nil, []clientv3.Op{clientv3.OpGet(s.key("other"))}),
		} {
			_, err := bob.Txn(s.ctx).Then(mine, operation).Commit()
			expect(errors.Is(err, rpctypes.ErrPermissionDenied), "%s elsewhere: %v", what, err)
		}
		_, err := bob.Txn(s.ctx).If(clientv3.Compare(clientv3.Version(s.key("other")), "=", 0)).
			Then(mine).Commit()
		expect(errors.Is(err, rpctypes.ErrPermissionDenied), "compares elsewhere: %v", err)
		for _, endpoint := range s.endpoints {
			got := must(root.Get(s.ctx, s.key("team/b"), clientv3.WithSerializable()))
			expect(got.Count == 0, "%s did what was denied", endpoint)
		}
	})
}
