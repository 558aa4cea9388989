// machine/etcd/lease_book.h: the leases of the etcd machine, and which keys are on which.
//
// What was granted lies in rows of its own; which keys are on a lease is said by the keys' own
// records, so it is gathered again at the start instead of stored twice. Invariant: a live key
// whose record names a lease is in that lease's set, and in no other.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "machine/leases.h"
#include "storage/kv/kv_store.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

using LeaseKeys = std::set<std::string, std::less<>>;

class LeaseBook final : public LeaseTable {
 public:
  // An error: the rows are damaged or of a newer format.
  Result<void> load(const storage::KvStore& rows, const storage::mvcc::Store& store);

  bool contains(int64_t lease) const { return leases_.contains(lease); }
  // Each writes its row into the batch.
  void grant(int64_t lease, const LeaseTerm& term, storage::WriteBatch& batch);
  void set_left(int64_t lease, int64_t left_seconds, storage::WriteBatch& batch);
  void end(int64_t lease, storage::WriteBatch& batch);  // its keys are gone already

  // A key was written or removed: it was on lease `before` and is on `now`; 0 is none.
  void move_key(std::string_view key, int64_t before, int64_t now);
  const LeaseKeys& keys(int64_t lease) const;  // sorted
  size_t attached() const { return attached_; }
  void check_invariants(const storage::mvcc::Store& store) const;

  std::optional<LeaseTerm> find(int64_t lease) const override;
  size_t lease_count() const override { return leases_.size(); }
  std::vector<int64_t> leases_after(std::optional<int64_t> after, size_t most) const override;
  void set_listener(LeaseListener* listener) override { listener_ = listener; }
  Bytes revoke_command(int64_t lease, uint64_t life) const override;
  Bytes checkpoint_command(const std::vector<LeaseMark>& marks) const override;

 private:
  struct Lease {
    LeaseTerm term;
    LeaseKeys keys;
  };

  std::map<int64_t, Lease> leases_;
  size_t attached_ = 0;  // keys, over all leases
  LeaseListener* listener_ = nullptr;
};

}  // namespace quorate::machine::etcd
