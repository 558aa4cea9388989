#include "consensus/quorum.h"

#include <algorithm>

namespace quorate::consensus {

uint64_t majority_reaches(std::span<uint64_t> values) {
  if (values.empty()) return kReachedByNobodyNeeded;
  // Insertion sort, largest first: there are rarely more than seven voters.
  for (size_t position = 1; position < values.size(); ++position) {
    const uint64_t value = values[position];
    size_t place = position;
    for (; place > 0 && values[place - 1] < value; --place) values[place] = values[place - 1];
    values[place] = value;
  }
  return values[values.size() / 2];
}

bool decides(const Members& members, std::span<const NodeId> in_favour) {
  const auto favours = [&](NodeId id) {
    return std::ranges::find(in_favour, id) != in_favour.end();
  };
  size_t voters = 0;
  for (const Member& member : members.voters) voters += favours(member.id) ? 1U : 0U;
  size_t outgoing = 0;
  for (const Member& member : members.outgoing) outgoing += favours(member.id) ? 1U : 0U;
  if (voters <= members.voters.size() / 2) return false;
  return members.outgoing.empty() || outgoing > members.outgoing.size() / 2;
}

}  // namespace quorate::consensus
