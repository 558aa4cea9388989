// consensus/members.h: who takes part in one replicated log, and which sets decide.
//
// The value travels in the log as an entry of kind `members` and in every snapshot's meta, so
// membership has one source. It carries joint configurations from the first release: while
// `outgoing` is not empty, every decision needs a majority of `voters` and of `outgoing`
// (Ongaro's thesis, section 4.3).
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

namespace quorate::consensus {

struct Member {
  NodeId id;
  // Grows when a member comes back without its data (docs/decisions/0004): votes and acks of an
  // earlier incarnation are void.
  uint64_t incarnation = 0;
  Bytes about;  // name and addresses; opaque here, owned by node/
  bool operator==(const Member&) const = default;
};

// Invariant: each list is sorted by id without duplicates; a learner is no voter of the new half,
// but may be one of the old half: then it still votes until the joint configuration is left. Who
// is in both halves has the same incarnation in both.
struct Members {
  std::vector<Member> voters;
  std::vector<Member> outgoing;  // voters of the configuration being left; empty: not joint
  std::vector<Member> learners;

  bool is_voter(NodeId id) const;  // in `voters` or `outgoing`
  bool is_learner(NodeId id) const;
  bool contains(NodeId id) const { return is_voter(id) || is_learner(id); }
  bool joint() const { return !outgoing.empty(); }
  const Member* find(NodeId id) const;   // null: unknown
  std::vector<NodeId> everyone() const;  // sorted, voters of both halves and learners
  bool operator==(const Members&) const = default;
};

Bytes encode_members(const Members& members);
std::optional<Members> decode_members(const Bytes& encoded);  // empty: malformed

// What must be appended first on the way from `current` to `target` (which is not joint): the
// target itself if at most one voter comes or goes, since then any two majorities meet (thesis,
// section 4.1); otherwise a joint configuration of both.
Members next_configuration(const Members& current, const Members& target);

}  // namespace quorate::consensus
