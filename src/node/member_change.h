// node/member_change.h: one wished change of who belongs to the cluster, and what it makes of a
// configuration. Pure.
//
// A new voter comes as a learner first and is made a voter by the leader once it has caught up
// (docs/decisions/0015), so a change never waits for a machine that is not there. Who is new has
// an id that whoever proposes the change has chosen. Invariant: a change that `changed()`
// accepts leaves at least one voter, no two members with one id or one peer URL.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "consensus/members.h"
#include "consensus/replicated_log.h"

namespace quorate::node {

enum class ChangeKind : uint8_t {
  add_voter = 0,
  add_learner = 1,
  promote = 2,  // a learner that has caught up becomes a voter
  remove = 3,
  update = 4,  // other peer URLs
  replace = 5  // a learner that has caught up takes the place of a voter, in one step
};

struct MemberChange {
  ChangeKind kind = ChangeKind::add_voter;
  NodeId member;                  // added, promoted, removed or updated; replace: who comes in
  NodeId leaving;                 // replace: who goes
  std::vector<std::string> urls;  // add and update
  bool operator==(const MemberChange&) const = default;
};

enum class ChangeRefusal : uint8_t {
  member_exists = 0,
  urls_exist = 1,  // another member has one of the peer URLs
  member_not_found = 2,
  not_learner = 3,
  too_many_learners = 4,
  learner_not_ready = 5,  // too far behind the leader
  no_voter_left = 6
};

// What only the leader knows.
struct ChangeRules {
  size_t learners_max = 1;
  // Of each member: its durable match; the leader's own last index stands for itself.
  std::vector<std::pair<NodeId, Index>> progress;
  Index last;
};

Bytes encode_member_change(const MemberChange& change);
std::optional<MemberChange> decode_member_change(const Bytes& encoded);  // empty: malformed

// The configuration wished for. `base` must be decided and not joint.
std::expected<consensus::Members, ChangeRefusal> changed(const consensus::Members& base,
                                                         const MemberChange& change,
                                                         const ChangeRules& rules);

// Whether `change` makes this voter leave.
bool removes(const MemberChange& change, NodeId member);

// Makes a voter of each learner for which that was asked and which has what the leader had at
// its last look. The leader asks from time to time.
class Promotion {
 public:
  // The configuration to propose now, if any.
  std::optional<consensus::Members> look(const consensus::Members& decided,
                                         const consensus::Status& status);
  static bool is_wanted(const consensus::Members& members);

 private:
  Index last_seen_;  // end of the leader's log at the last look
  uint64_t round_ = 0;
};

}  // namespace quorate::node
