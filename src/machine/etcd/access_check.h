// machine/etcd/access_check.h: whether a caller may do what a request says.
//
// Commands are checked when they are applied, against the auth store as it is there, so all members
// agree; queries at the moment of the query. What no rule permits is refused.
#pragma once

#include "machine/etcd/auth_book.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/lease_book.h"
#include "machine/etcd/messages.h"

namespace quorate::machine::etcd {

// Only while auth is on.
Code check_command(const AuthBook& auth, const LeaseBook& leases, const OpenedCommand& command);

Code check_access(const AuthBook& auth, const Caller& caller, const RangeRequest& request);
// Every comparison and every operation of both branches, nested ones too: which branch is taken
// already tells something.
Code check_access(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                  const TxnRequest& request);
// All keys that are on the lease; one that is not there has none.
Code check_lease_keys(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                      int64_t lease, Access access);

}  // namespace quorate::machine::etcd
