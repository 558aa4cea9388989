#include "consensus/register/proposer.h"

#include <algorithm>

#include "base/mutant.h"
#include "consensus/quorum.h"

namespace quorate::consensus::caspaxos {

Prepare Proposer::begin(const Ballot& ballot) {
  ballot_ = ballot;
  accepting_ = false;
  answered_.clear();
  highest_.reset();
  return {name_, ballot_};
}

std::variant<std::monostate, Accept, Outcome> Proposer::on(NodeId from, const Promise& promise) {
  if (accepting_ || (promise.ballot != ballot_ && !QRT_MUTANT(X01_REGISTER))) return {};
  answered_.push_back(from);
  if (promise.accepted) {
    const bool higher =
        !highest_ || (highest_->ballot < promise.accepted->ballot && !QRT_MUTANT(X04_REGISTER));
    if (higher) highest_ = promise.accepted;
  }
  if (!decides(acceptors_, answered_)) return {};
  return propose(highest_ ? highest_->cell : Cell{});
}

std::variant<std::monostate, Accept, Outcome> Proposer::propose(const Cell& base) {
  accepting_ = true;
  answered_.clear();
  if (version_tried_ && !QRT_MUTANT(X02_REGISTER_TWICE)) {
    // Found: its place is known, and what it found is written back so that it stays.
    if (found_itself(base)) return Accept{name_, {ballot_, base}};
    if (!surely_absent(base)) return give_up(Why::none);
  }
  auto changed = apply(change_, base, id_);
  if (!changed) {
    const bool read = is_read(change_);
    outcome_ = {read ? Verdict::applied : Verdict::mismatch, Why::none, base.version, base.value};
    if (read && QRT_MUTANT(X04_REGISTER_READ)) return outcome_;
    // Written back as well: a later reader must not see less than this one.
    return Accept{name_, {ballot_, base}};
  }
  version_tried_ = std::min(version_tried_.value_or(UINT64_MAX), changed->version);
  outcome_ = {Verdict::applied, Why::none, changed->version, changed->value};
  return Accept{name_, {ballot_, std::move(*changed)}};
}

bool Proposer::found_itself(const Cell& base) {
  const auto place = std::ranges::find(base.recent, id_);
  if (place == base.recent.end()) return false;
  const auto later = static_cast<uint64_t>(place - base.recent.begin());
  const Bytes value = std::holds_alternative<Set>(change_) ? std::get<Set>(change_).value
                                                           : std::get<CompareAndSet>(change_).value;
  outcome_ = {Verdict::applied, Why::none, base.version - later, value};
  return true;
}

// Whoever made the version that this change may have made was somebody else. Then no chosen cell
// has the change in its past: a majority has promised not to accept the lost ballot any more, and
// if it had been chosen before, what they read would descend from it.
bool Proposer::surely_absent(const Cell& base) const {
  return base.version < *version_tried_ || base.version - *version_tried_ < base.recent.size();
}

std::optional<Outcome> Proposer::on(NodeId from, const Accepted& accepted) {
  if (!accepting_ || accepted.ballot != ballot_) return std::nullopt;
  answered_.push_back(from);
  if (!decides(acceptors_, answered_)) return std::nullopt;
  return outcome_;
}

Outcome Proposer::give_up(Why why) const {
  if (version_tried_ && !QRT_MUTANT(X03_REGISTER_SURE)) return {Verdict::unknown, why, 0, {}};
  return {Verdict::not_applied, why, 0, {}};
}

}  // namespace quorate::consensus::caspaxos
