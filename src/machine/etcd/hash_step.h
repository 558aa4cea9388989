// machine/etcd/hash_step.h: the hashes of the Maintenance service, as a query that is asked again
// with its own answer until it says that it is finished: a large state takes longer to read than
// other clients may wait.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "machine/etcd/auth_book.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/lease_book.h"
#include "storage/mvcc/hash_walk.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

// Bytes read in one step: about a millisecond.
inline constexpr uint64_t kHashWorkMax = uint64_t{256} << 10U;

struct HashStep {
  storage::mvcc::HashWalk walk;
  // Leases, users and roles too. Equal on members at the same position of the log; not the number
  // etcd would give, which covers tables that only etcd has.
  bool everything = false;
};
std::string encode_hash_step(const HashStep& step);
std::optional<HashStep> decode_hash_step(std::string_view bytes);

struct HashedState {
  const storage::mvcc::Store& store;
  const LeaseBook& leases;
  const AuthBook& auth;
};
Code step_hash(const HashedState& state, std::string_view request, std::string& body);

}  // namespace quorate::machine::etcd
