#include "consensus/register/change.h"

#include "consensus/register/limits.h"

namespace quorate::consensus::caspaxos {
namespace {

const Bytes* written(const Change& change, const Cell& cell) {
  if (const auto* set = std::get_if<Set>(&change)) return &set->value;
  const auto* swap = std::get_if<CompareAndSet>(&change);
  if (swap == nullptr) return nullptr;
  const bool fits =
      swap->expected ? cell.version != 0 && cell.value == *swap->expected : cell.version == 0;
  return fits ? &swap->value : nullptr;
}

}  // namespace

std::optional<Cell> apply(const Change& change, const Cell& cell, const ProposalId& id) {
  const Bytes* value = written(change, cell);
  if (value == nullptr) return std::nullopt;
  Cell next = cell;
  ++next.version;
  next.value = *value;
  next.recent.insert(next.recent.begin(), id);
  if (next.recent.size() > kRecentMax) next.recent.pop_back();
  return next;
}

bool is_read(const Change& change) { return std::holds_alternative<Get>(change); }

}  // namespace quorate::consensus::caspaxos
