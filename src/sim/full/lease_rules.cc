#include "sim/full/lease_rules.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::sim::full {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr int64_t kMillion = 1'000'000;

}  // namespace

Time LeaseRules::ends_at_the_earliest(const Life& life) const {
  const Duration whole(life.seconds * kNanosecondsPerSecond);
  Time end = life.basis + whole - whole / kMillion * static_cast<int64_t>(drift_max_);
  for (const auto& [when, step] : steps_) {
    if (when >= life.basis) end -= step;
  }
  return end;
}

bool LeaseRules::ended_early(const Life& life) const {
  return life.ended && !life.by_client && *life.ended < ends_at_the_earliest(life);
}

const LeaseRules::Lives* LeaseRules::lives_of(int64_t lease) const {
  const auto found = lives_.find(lease);
  return found == lives_.end() ? nullptr : &found->second;
}

void LeaseRules::on_granted(Time now, int64_t lease, int64_t seconds) {
  Lives& lives = lives_[lease];
  CHECK(lives.empty() || lives.back().ended, "the model grants no lease twice");
  Life life;
  life.seconds = seconds;
  life.began = life.basis = now;
  lives.push_back(life);
  ++alive_;
}

std::string LeaseRules::on_ended(Time now, int64_t lease, bool by_client) {
  Life& life = lives_.at(lease).back();
  CHECK(!life.ended, "the model ends no lease twice");
  life.ended = now;
  life.by_client = by_client;
  --alive_;
  if (!by_client) ++expired_;
  if (!ended_early(life)) return {};
  return name_of(lease) + " of " + std::to_string(life.seconds) + " s ended " +
         std::to_string((ends_at_the_earliest(life) - now).count() / kMillion) +
         " ms before its time";
}

std::string LeaseRules::on_renewed(Time asked, int64_t lease, int64_t granted_seconds) {
  if (std::string wrong = on_seen(asked, lease, granted_seconds); !wrong.empty()) return wrong;
  ++renewed_;
  // Which of several lives was renewed nobody can tell; one that began after the question has
  // its time from a later moment anyway.
  Lives& lives = lives_.at(lease);
  const auto touched = std::ranges::find_if(
      lives, [&](const Life& life) { return !life.ended || *life.ended >= asked; });
  if (touched->began > asked || touched != std::prev(lives.end())) return {};
  touched->basis = std::max(touched->basis, asked);
  if (!ended_early(*touched)) return {};
  return name_of(lease) + " was renewed, and had ended before its time";
}

std::string LeaseRules::on_seen(Time asked, int64_t lease, int64_t granted_seconds) const {
  const Lives* lives = lives_of(lease);
  if (lives == nullptr) return name_of(lease) + " is said to be there, but it never was";
  if (lives->back().ended && *lives->back().ended < asked) {
    return name_of(lease) + " is said to be there, but it had ended before anybody asked";
  }
  const bool known = std::ranges::any_of(*lives, [&](const Life& life) {
    return life.seconds == granted_seconds && (!life.ended || *life.ended >= asked);
  });
  if (known) return {};
  return name_of(lease) + " is said to be of " + std::to_string(granted_seconds) + " s";
}

std::string LeaseRules::on_absent(Time asked, int64_t lease) const {
  const Lives* lives = lives_of(lease);
  if (lives == nullptr || lives->back().ended || lives->back().began >= asked) return {};
  return name_of(lease) + " is said to be gone, but it was there all the time";
}

}  // namespace quorate::sim::full
