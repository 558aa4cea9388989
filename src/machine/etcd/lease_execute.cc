// What each lease request does to the state and what it answers.
#include <algorithm>

#include "base/mutant.h"
#include "machine/etcd/execute.h"
#include "machine/etcd/lease_messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::write_number;
using protobuf::write_present;

Code execute_lease_grant(Keyspace& keyspace, const LeaseGrantRequest& request, std::string* body) {
  // The front has chosen an id and raised what was too short; these two cannot come from it.
  if (request.id == 0 || request.ttl < 1) return Code::malformed;
  if (request.ttl > kLeaseSecondsMax) return Code::lease_too_long;
  if (keyspace.leases.contains(request.id)) return Code::lease_exists;
  keyspace.leases.grant(request.id, {request.ttl, 0, keyspace.index.value}, keyspace.store.batch());
  if (body != nullptr) {
    write_number(2, request.id, *body);
    write_number(3, request.ttl, *body);
  }
  return Code::ok;
}

Code execute_lease_revoke(Keyspace& keyspace, const LeaseRevokeRequest& request) {
  const std::optional<LeaseTerm> term = keyspace.leases.find(request.id);
  const bool meant = term && (request.life == 0 || request.life == term->life);
  if (!meant) return Code::lease_not_found;
  const LeaseKeys keys = keyspace.leases.keys(request.id);  // a copy: it shrinks meanwhile
  for (const std::string& key : keys) {
    if (QRT_MUTANT(V11)) break;
    keyspace.store.remove(storage::mvcc::make_range(key, {}));
    keyspace.leases.move_key(key, request.id, 0);
  }
  keyspace.store.finish_transaction();
  keyspace.leases.end(request.id, keyspace.store.batch());
  return Code::ok;
}

Code execute_lease_checkpoint(Keyspace& keyspace, const LeaseCheckpointRequest& request) {
  for (const LeaseCheckpoint& checkpoint : request.checkpoints) {
    const std::optional<LeaseTerm> term = keyspace.leases.find(checkpoint.id);
    // It may have ended since the checkpoint was proposed. More than was granted is nonsense
    // which must not make a lease longer.
    if (!term || checkpoint.remaining_ttl < 0) continue;
    if (checkpoint.life != 0 && checkpoint.life != term->life) continue;
    const int64_t left = std::min(checkpoint.remaining_ttl, term->granted_seconds);
    keyspace.leases.set_left(checkpoint.id, left, keyspace.store.batch());
  }
  return Code::ok;
}

void list_leases(const LeaseBook& leases, std::string& body) {
  std::string inner;
  for (const int64_t lease : leases.leases_after(std::nullopt, leases.lease_count())) {
    inner.clear();
    write_number(1, lease, inner);
    write_present(2, inner, body);
  }
}

void list_lease_keys(const LeaseBook& leases, int64_t lease, std::string& body) {
  if (!leases.contains(lease)) return;
  for (const std::string& key : leases.keys(lease)) write_present(5, key, body);
}

}  // namespace quorate::machine::etcd
