// check/revisions.h: a history laid out by revision: who wrote each one, who read at it, and since
// when the world knew it.
//
// etcd's answers carry the store's revision, so the order of successful writes is given and need
// not be searched for. What is left open are gaps: revisions that were reached, but whose writer
// nobody answered for: a write of unknown outcome, or a lease that ran out.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/key_table.h"
#include "check/verdict.h"

namespace quorate::check {

// Revisions above are judged as this one, so that doubling them cannot overflow.
inline constexpr int64_t kRevisionMax = int64_t{1} << 61;

// What an operation is to the order of revisions.
enum class Role : uint8_t {
  none,          // unknown, failed, or without a revision
  writer,        // made the revision in its answer
  maybe_writer,  // may have found nothing to delete, and then only read
  reader,        // took effect between the revision in its answer and the next
  observer       // saw a state that was, or is; promises nothing about time
};

// Something that was seen of a revision: a key's new version, or its deletion.
struct Glimpse {
  Rank rank = kNoRank;
  bool erased = false;
  Item item;
  uint32_t watch_reply = kNobody;  // that showed it, if one did
};

// The first event that shows that something exists.
struct Known {
  Place place = kOpen;
  Time at = kNever;
  uint32_t operation = kNobody;  // whose answer it was, if it was one
};

struct Gap {
  Known known = {};
  uint32_t made_by = kNobody;  // a simulator says who it was
  int64_t expired = 0;         // a simulator says which lease ran out; 0: it does not
  std::vector<Glimpse> seen;
};

// A key was seen unchanged between two revisions, or its versions leave room for no other change
// than the known ones. Or it must have been absent all the time: it was absent at the second, and
// nothing that could have deleted it lies between.
struct Rest {
  int64_t from = 0;   // last changed here
  int64_t until = 0;  // and still so here
  uint32_t seen_by = kNobody;
  bool absent = false;
};

class Revisions {
 public:
  // `findings` gets what contradicts already here: two writers of one revision, time against
  // revisions, revisions that nobody can have made.
  Revisions(const History& history, const KeyTable& keys, std::vector<Finding>& findings);

  // False: so many revisions are missing that laying them out makes no sense; see the findings.
  bool laid_out() const { return laid_out_; }
  int64_t first() const { return first_; }  // of the start; the first write makes the next one
  int64_t last() const { return last_; }
  Role role(uint32_t operation) const { return roles_[operation]; }
  // kNobody for a gap. Who may have written is among the readers.
  uint32_t writer(int64_t revision) const { return writers_[slot(revision)]; }
  std::span<const uint32_t> readers(int64_t revision) const {
    const size_t at = slot(revision);
    return std::span(readers_).subspan(reader_starts_[at],
                                       reader_starts_[at + 1] - reader_starts_[at]);
  }
  bool has_gaps() const { return !gaps_.empty(); }
  const std::map<int64_t, Gap>& gaps() const { return gaps_; }
  // What watches showed of the revision; kept only if there are gaps.
  std::span<const Glimpse> watched(int64_t revision) const;
  // Who saw that the key did not change at that revision; nullptr if nobody did.
  const Rest* rest(Rank rank, int64_t revision) const;
  // Operations of unknown outcome that would change something.
  std::span<const uint32_t> unknown_writes() const { return unknown_writes_; }
  uint64_t without_revision() const { return without_revision_; }

 private:
  size_t slot(int64_t revision) const { return static_cast<size_t>(revision - first_); }
  Role role_of(const Operation& operation);
  void find_last();
  void reach(int64_t revision, uint32_t operation);
  bool too_many_missing();
  void place_writers();
  void place_readers();
  void compare_with_time();
  void judge_start(uint32_t operation);
  void take_notes();
  void find_gaps();
  void gather_glimpses();
  void gather_rests(uint32_t operation, const Step& step);
  void gather_erases();
  void gather_absences(uint32_t operation, const Step& step);
  void gather_lives();
  void add_life(Rank rank, const std::vector<int64_t>& known_puts);
  void add_absence(Rank rank, int64_t until, uint32_t seen_by);
  int64_t last_erase(Rank rank, int64_t revision) const;
  void add_glimpse(const Item& item, bool erased, uint32_t watch_reply);

  const History& history_;
  const KeyTable& keys_;
  std::vector<Finding>& findings_;
  // The newest thing known to have happened so far, twice its revision, and one more if it was read
  // and not made.
  struct Latest {
    int64_t key = 0;
    uint32_t operation = kNobody;
    uint32_t watch_reply = kNobody;
    bool told = false;  // its first contradiction is already among the findings
  };
  Latest latest_;
  int64_t first_ = 1;
  int64_t last_ = 1;
  uint32_t last_seen_by_ = kNobody;
  bool laid_out_ = false;
  uint64_t without_revision_ = 0;
  uint64_t granted_ = 0;  // leases that can run out
  std::vector<Role> roles_;
  std::vector<uint32_t> writers_;
  std::vector<uint32_t> readers_;
  std::vector<uint32_t> reader_starts_;
  std::vector<uint32_t> unknown_writes_;
  std::map<int64_t, Gap> gaps_;
  std::vector<Glimpse> watched_;          // by revision; only if there are gaps
  std::vector<std::vector<Rest>> rests_;  // by rank; only if there are gaps
  // Where keys may have been deleted; only if there are gaps.
  struct Erases {
    std::vector<std::vector<int64_t>> of_key;  // by rank
    std::vector<int64_t> of_ranges;
    int64_t first_gap = kRevisionMax;  // the first that a write of unknown outcome may have made
    bool anywhere = false;             // leases may delete at any revision
  };
  Erases erases_;
  // A version of a key that somebody saw; between two of one life their numbers count the puts.
  struct Sighting {
    int64_t create = 0;
    int64_t mod = 0;
    int64_t version = 0;
    uint32_t seen_by = kNobody;
  };
  std::vector<std::vector<Sighting>> sightings_;  // by rank; emptied when they are understood
};

}  // namespace quorate::check
