#include "machine/etcd/access_check.h"

#include "base/check.h"
#include "base/mutant.h"
#include "machine/etcd/alarms.h"
#include "machine/etcd/lease_messages.h"

namespace quorate::machine::etcd {

namespace {

Code check_access(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                  const PutRequest& request) {
  Code code = auth.check_range(caller, request.key, {}, Access::write);
  // What is put on a lease can be taken away with it, so who puts must have a say in all of it.
  if (code == Code::ok && request.lease != 0 && !QRT_MUTANT(A03_LEASE)) {
    code = check_lease_keys(auth, leases, caller, request.lease, Access::write);
  }
  if (code == Code::ok && request.prev_kv && !QRT_MUTANT(A03_PREVIOUS)) {
    code = auth.check_range(caller, request.key, {}, Access::read);
  }
  return code;
}

Code check_access(const AuthBook& auth, const Caller& caller, const DeleteRangeRequest& request) {
  const Code code = auth.check_range(caller, request.key, request.range_end, Access::write);
  if (code != Code::ok || !request.prev_kv) return code;
  return auth.check_range(caller, request.key, request.range_end, Access::read);
}

Code check_operation(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                     const RequestOp& operation) {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    return check_access(auth, caller, *range);
  }
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    return check_access(auth, leases, caller, *put);
  }
  if (const auto* remove = std::get_if<DeleteRangeRequest>(&operation.request)) {
    return check_access(auth, caller, *remove);
  }
  if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
    if (QRT_MUTANT(A03_NESTED)) return Code::ok;
    return check_access(auth, leases, caller, *nested);
  }
  return Code::ok;  // does nothing
}

// A revoke that names the life of the lease comes from the leader, whose clock ended it.
Code check_revoke(const AuthBook& auth, const LeaseBook& leases, const OpenedCommand& command) {
  const auto request = decode_lease_revoke_request(command.request);
  if (!request) return Code::malformed;
  if (request->life != 0) return Code::ok;
  if (const Code code = auth.check_user(command.caller); code != Code::ok) return code;
  if (QRT_MUTANT(A06_REVOKE)) return Code::ok;
  return check_lease_keys(auth, leases, command.caller, request->id, Access::write);
}

Code check_auth_operation(const AuthBook& auth, const OpenedCommand& command) {
  // Who proves a password is nobody before.
  const bool proves =
      !command.request.empty() && static_cast<uint8_t>(command.request.front()) ==
                                      static_cast<uint8_t>(AuthOperation::authenticate);
  return proves ? Code::ok : auth.check_root(command.caller);
}

}  // namespace

Code check_access(const AuthBook& auth, const Caller& caller, const RangeRequest& request) {
  return auth.check_range(caller, request.key, request.range_end, Access::read);
}

Code check_access(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                  const TxnRequest& request) {
  Code code = auth.check_user(caller);  // even one that does nothing answers something
  for (const Compare& compare : request.compare) {
    if (code == Code::ok && !QRT_MUTANT(A03_COMPARE)) {
      code = auth.check_range(caller, compare.key, compare.range_end, Access::read);
    }
  }
  for (const auto* operations : {&request.success, &request.failure}) {
    if (QRT_MUTANT(A03_BRANCH) && operations == &request.failure) break;
    for (const RequestOp& operation : *operations) {
      if (code == Code::ok) code = check_operation(auth, leases, caller, operation);
    }
  }
  return code;
}

Code check_lease_keys(const AuthBook& auth, const LeaseBook& leases, const Caller& caller,
                      int64_t lease, Access access) {
  if (!leases.contains(lease)) return Code::ok;
  for (const std::string& key : leases.keys(lease)) {
    const Code code = auth.check_range(caller, key, {}, access);
    if (code != Code::ok) return code;
  }
  return Code::ok;
}

Code check_command(const AuthBook& auth, const LeaseBook& leases, const OpenedCommand& command) {
  const Caller& caller = command.caller;
  switch (command.kind) {
    case CommandKind::put: {
      const auto request = decode_put_request(command.request);
      return request ? check_access(auth, leases, caller, *request) : Code::malformed;
    }
    case CommandKind::delete_range: {
      const auto request = decode_delete_range_request(command.request);
      return request ? check_access(auth, caller, *request) : Code::malformed;
    }
    case CommandKind::txn: {
      const auto request = decode_txn_request(command.request);
      return request ? check_access(auth, leases, caller, *request) : Code::malformed;
    }
    case CommandKind::compact:
      return auth.check_root(caller);
    case CommandKind::lease_grant:
      return auth.check_user(caller);
    case CommandKind::lease_revoke:
      return check_revoke(auth, leases, command);
    case CommandKind::alarm: {
      const auto request = decode_alarm_request(command.request);
      if (!request) return Code::malformed;
      return request->action == AlarmAction::get ? auth.check_user(caller)
                                                 : auth.check_root(caller);
    }
    case CommandKind::auth:
      return check_auth_operation(auth, command);
    case CommandKind::member_attributes:  // these two no client can send
    case CommandKind::lease_checkpoint:
      return Code::ok;
  }
  CHECK(false, "every command has a rule");
}

}  // namespace quorate::machine::etcd
