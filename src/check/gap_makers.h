// check/gap_makers.h: who can have made a revision that nobody answered for: an operation of
// unknown outcome or a lease that ran out. Whatever was seen of the revision must agree with it:
// rows that carry it, keys known to have rested, and when it was first known.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "check/apply.h"
#include "check/history.h"
#include "check/key_table.h"
#include "check/revisions.h"
#include "check/versioned_store.h"

namespace quorate::check {

struct Maker {
  uint32_t operation = kNobody;
  int64_t lease = 0;     // ran out; 0: not that
  bool guessed = false;  // others would do as well
  bool known() const { return (operation != kNobody || lease != 0) && !guessed; }
};

// Keys that makers change here, or would change at a later gap if they were not used up here.
struct Footprint {
  std::set<Rank> keys;
  std::vector<RankRange> erased;
  bool leases = false;  // whatever hangs on a lease by then
  bool holds(Rank rank) const;
  void add(const Footprint& other);
};

// Whether the store, which stands at `revision`, changed there as it was seen.
bool shows(const Glimpse& glimpse, const VersionedStore& store, int64_t revision);

class GapMakers {
 public:
  GapMakers(const History& history, const KeyTable& keys, const Revisions& revisions,
            VersionedStore& store);

  // Those that fit in the store as it is, which must stand right before `revision`; the likeliest
  // first. Of equal requests only the last invoked is named: it fits the fewest other gaps, so
  // nothing is lost.
  struct Candidates {
    std::vector<Maker> good;
    // A watch went past the revision without showing it, or the lease lived on: possible only if a
    // promise about those was broken.
    std::vector<Maker> denied;
    Footprint footprint;
  };
  Candidates candidates(int64_t revision);
  // Whether it is asked to, in some state of the store.
  bool may_change(const Maker& maker, Rank rank) const;
  // An operation makes one revision at most.
  void set_used(uint32_t operation, bool used);
  bool used(uint32_t operation) const { return used_[unknown_index(operation)]; }
  // False if its answer shows that it was not so.
  bool make(const Maker& maker, int64_t revision);
  // The last answer of a watch that went past the revision without showing how it changed the key;
  // kNobody: there is none, or some watch showed it. The store stands at the revision.
  uint32_t denied_by(Rank rank, int64_t revision) const;
  bool watches_deny() const { return !silences_.empty(); }
  // Whether an unknown transaction exists, whose effect may hang on any key.
  bool conditional() const { return conditional_; }
  uint64_t steps() const { return steps_; }

 private:
  // A watch that covered keys and went past revisions: what it did not show, it denies.
  struct Silence {
    RankRange range;
    int64_t from = 0;
    int64_t until = 0;
    bool no_put = false;
    bool no_delete = false;
    uint32_t last_reply = kNobody;
  };

  // What shows that a lease was still alive.
  struct LeaseSigns {
    uint32_t grants = 0;
    int64_t last_put = 0;     // the highest revision that put a key on it
    Place alive_at = 0;       // the last call that it was renewed by
    int64_t holds_until = 0;  // seconds, rounded down
  };

  size_t unknown_index(uint32_t operation) const;
  void index_requests();
  void index_silences();
  void index_leases();
  // Places in unknown_writes(), the last invoked first.
  std::vector<uint32_t> worth_trying(const Gap& gap) const;
  bool rested(uint32_t number, int64_t revision) const;
  void add_footprint(const Maker& maker, Footprint& footprint) const;
  const Silence* silence_about(Rank rank, int64_t revision) const;
  // Tries it out and takes it back.
  bool fits(const Maker& maker, int64_t revision, const Gap& gap, bool& denied);
  bool agrees_with(const Gap& gap, int64_t revision) const;
  bool denied_by_lease(int64_t lease, int64_t revision, const Gap& gap) const;
  bool denied_by_watch(int64_t revision, const Gap& gap) const;

  const History& history_;
  const KeyTable& keys_;
  const Revisions& revisions_;
  VersionedStore& store_;
  Applier applier_;
  std::vector<bool> used_;                       // by place in unknown_writes()
  std::vector<uint32_t> classes_;                // likewise: equal requests have equal numbers
  std::vector<std::pair<Rank, uint32_t>> puts_;  // key, place in unknown_writes()
  std::vector<uint32_t> erasers_;                // places in unknown_writes()
  std::vector<Silence> silences_;
  std::map<int64_t, LeaseSigns> leases_;
  std::vector<Rank> changed_;  // by the candidate under trial
  bool conditional_ = false;
  uint64_t steps_ = 0;
};

}  // namespace quorate::check
