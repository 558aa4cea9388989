#include "consensus/read_rounds.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/lease_length.h"
#include "consensus/limits.h"

namespace quorate::consensus {

ReadRounds::ReadRounds(const Config& config)
    : leases_(config.lease_reads), lease_length_(lease_length(config)) {}

bool ReadRounds::add(ReadId id) {
  if (held_ >= kWaitingReadsMax) return false;
  ++held_;
  waiting_.push_back(id);
  return true;
}

bool ReadRounds::start(Time now, Index committed, std::vector<ReadReady>& served) {
  if (waiting_.empty()) return false;
  if (lease_holds(now) || QRT_MUTANT(P03)) {
    for (const ReadId id : waiting_) served.push_back({id, committed});
    held_ -= waiting_.size();
    waiting_.clear();
    return false;
  }
  if (rounds_.size() >= kReadRoundsMax) return false;
  rounds_.push_back({begin_round(), committed, std::move(waiting_)});
  waiting_ = {};
  return true;
}

void ReadRounds::confirm(uint64_t answered, std::vector<ReadReady>& served) {
  if (QRT_MUTANT(R07_ROUND)) ++answered;
  while (!rounds_.empty() && rounds_.front().number <= answered) {
    const Round& done = rounds_.front();
    for (const ReadId id : done.ids) served.push_back({id, done.index});
    CHECK(held_ >= done.ids.size(), "every read in a round was counted");
    held_ -= done.ids.size();
    rounds_.pop_front();
  }
}

std::vector<ReadId> ReadRounds::drop() {
  std::vector<ReadId> dropped;
  if (QRT_MUTANT(R07_LOST)) rounds_.clear();
  for (const Round& lost : rounds_) dropped.insert(dropped.end(), lost.ids.begin(), lost.ids.end());
  dropped.insert(dropped.end(), waiting_.begin(), waiting_.end());
  rounds_.clear();
  waiting_.clear();
  held_ = 0;
  return dropped;
}

uint64_t ReadRounds::settled() const {
  const uint64_t reads = rounds_.empty() ? round_ : rounds_.front().number - 1;
  return rounds_sent_.empty() ? reads : std::min(reads, rounds_sent_.front().number - 1);
}

void ReadRounds::begin_lease_round(Time now) {
  if (!leases_) return;
  rounds_sent_.push_back({begin_round(), now});
  if (rounds_sent_.size() > kLeaseRoundsMax) rounds_sent_.pop_front();
}

void ReadRounds::renew_lease(Time now, uint64_t promised) {
  while (!rounds_sent_.empty() && rounds_sent_.front().number <= promised) {
    const Sent& round = rounds_sent_.front();
    const Time from = QRT_MUTANT(LEASE_SENT) ? now : round.at;
    if (round.number > lease_after_round_) {
      lease_ends_ = std::max(lease_ends_, from + lease_length_);
    }
    rounds_sent_.pop_front();
  }
}

void ReadRounds::restart_lease() {
  if (QRT_MUTANT(LEASE_CONFIG)) return;
  lease_ends_ = {};
  lease_after_round_ = round_;
}

void ReadRounds::void_lease() {
  lease_ends_ = {};
  lease_void_ = true;
  rounds_sent_.clear();
}

void ReadRounds::enter_office() {
  void_lease();
  lease_void_ = false;
}

void ReadRounds::fingerprint(Fingerprint& into, Time now, Duration limit) const {
  // Left out: leases_ and lease_length_, the same in all states; held_ is a count of the rest.
  into.add(round_);
  into.add(waiting_.size());
  for (const ReadId id : waiting_) into.add(id.value);
  into.add(rounds_.size());
  for (const Round& round : rounds_) {
    into.add(round.number);
    into.add(round.index);
    into.add(round.ids.size());
    for (const ReadId id : round.ids) into.add(id.value);
  }
  into.add(rounds_sent_.size());
  for (const Sent& round : rounds_sent_) {
    into.add(round.number);
    into.add(age(now, round.at, limit));
  }
  into.add(distance(now, lease_ends_));
  into.add(lease_after_round_);
  into.add(lease_void_);
}

void ReadRounds::check_invariants() const {
  CHECK(rounds_.size() <= kReadRoundsMax, "read rounds are bounded");
  size_t held = waiting_.size();
  for (const Round& round : rounds_) held += round.ids.size();
  CHECK(held == held_, "every read held is counted");
}

}  // namespace quorate::consensus
