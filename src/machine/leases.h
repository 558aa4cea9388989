// machine/leases.h: what of a machine's state ends with time unless somebody renews it.
//
// The machine knows which leases there are and how long they were granted for; it has no clock.
// When one ends is for the leader to say, by its own clock and through the log (node/
// lease_clock.h): whoever reads this interface learns what it needs for that, whatever API the
// leases belong to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"

namespace quorate::machine {

struct LeaseTerm {
  int64_t granted_seconds = 0;
  // What was left of it at its last checkpoint; 0: none since it was granted or renewed.
  int64_t left_seconds = 0;
  // Of the entry that granted it: another lease of the same id, granted later, has another life.
  uint64_t life = 0;
  bool operator==(const LeaseTerm&) const = default;
};

// Called while a command is applied. Must not call back.
class LeaseListener {
 public:
  virtual ~LeaseListener() = default;
  virtual void on_lease_granted(int64_t lease, const LeaseTerm& term) = 0;
  virtual void on_lease_ended(int64_t lease) = 0;
};

// What is left of a lease at a checkpoint; 0 takes an earlier checkpoint back.
struct LeaseMark {
  int64_t lease = 0;
  uint64_t life = 0;
  int64_t left_seconds = 0;
};

class LeaseTable {
 public:
  virtual ~LeaseTable() = default;
  virtual std::optional<LeaseTerm> find(int64_t lease) const = 0;
  virtual size_t lease_count() const = 0;
  // The first `most` leases behind `after` in the order of their ids; empty: from the first on.
  virtual std::vector<int64_t> leases_after(std::optional<int64_t> after, size_t most) const = 0;
  virtual void set_listener(LeaseListener* listener) = 0;

  // Commands for the log. They do nothing to a lease of another life: between the leader's
  // decision and its entry a client may have revoked the lease and granted it anew.
  virtual Bytes revoke_command(int64_t lease, uint64_t life) const = 0;
  virtual Bytes checkpoint_command(const std::vector<LeaseMark>& marks) const = 0;
};

}  // namespace quorate::machine
