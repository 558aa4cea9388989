#include "load/runner.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "load/clock.h"

namespace quorate::load {
namespace {

// The longest sleep: signals and the ends of phases are noticed this late at most.
constexpr Duration kTurnMax = std::chrono::milliseconds(20);

class Runner final : public Listener {
 public:
  Runner(Driver& driver, const Plan& plan, Observer& observer);
  Measurement run();
  void on_done(uint32_t slot, Outcome outcome, uint8_t kind) override;

 private:
  struct Slot {
    Time intended;
    bool busy = false;
  };

  bool by_time() const { return plan_.operations == 0; }
  bool in_window(Time moment) const { return moment >= opens_ && moment < closes_; }
  void step(Time now);
  void open_window(Time now);
  void close_window(Time now);
  void fill(Time now);
  void fill_from_schedule(Time now);
  void begin_one(Time intended, Time now);
  void tell(Time now);
  Duration patience(Time now) const;
  void count_leftovers(Time now);

  Driver& driver_;
  const Plan plan_;
  Observer& observer_;
  Measurement result_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::optional<Schedule> schedule_;
  std::deque<Time> backlog_;  // when each ought to have begun
  Time begun_;
  Time opens_;
  Time closes_ = kNever;
  bool open_ = false;
  bool draining_ = false;
  Time drain_until_ = kNever;
  Time asked_;
  Duration cpu_at_opening_{};
  // Since the last progress.
  Time told_;
  uint64_t done_since_ = 0;
  LatencyHistogram latency_since_;
};

Runner::Runner(Driver& driver, const Plan& plan, Observer& observer)
    : driver_(driver), plan_(plan), observer_(observer), slots_(plan.outstanding) {
  CHECK(plan.outstanding > 0 && plan.outstanding <= kOutstandingMax, "checked by the caller");
  free_.resize(plan.outstanding);
  // The lowest first: with few under way the same few slots are used.
  std::iota(free_.rbegin(), free_.rend(), uint32_t{0});
  for (const std::string& name : driver.kinds()) result_.kinds.push_back({name, 0, {}});
}

void Runner::on_done(uint32_t slot, Outcome outcome, uint8_t kind) {
  CHECK(slot < slots_.size() && slots_[slot].busy, "an operation ends once");
  CHECK(kind < result_.kinds.size(), "a kind that the driver named");
  const Time now = clock_now();
  const Time intended = slots_[slot].intended;
  slots_[slot].busy = false;
  free_.push_back(slot);
  const bool counts = open_ && in_window(now);
  if (outcome != Outcome::ok) {
    ++result_.failed;
    if (counts) ++result_.outcomes[static_cast<size_t>(outcome)];
    return;
  }
  ++result_.ok;
  ++done_since_;
  latency_since_.add(now - intended);
  KindResult& result = result_.kinds[kind];
  if (counts) {
    ++result.in_window;
    ++result_.outcomes[static_cast<size_t>(outcome)];
  }
  if (in_window(intended)) result.add(intended, now);
}

void Runner::open_window(Time now) {
  open_ = true;
  opens_ = by_time() ? now : begun_;
  result_.opened = opens_;
  if (by_time()) closes_ = now + plan_.measured;
  cpu_at_opening_ = own_cpu();
  observer_.on_window(true);
  driver_.measure(true, opens_);
}

void Runner::close_window(Time now) {
  if (!open_) return;
  open_ = false;
  closes_ = std::min(closes_, now);
  result_.window = closes_ - opens_;
  result_.tool_cpu = own_cpu() - cpu_at_opening_;
  observer_.on_window(false);
  driver_.measure(false, closes_);
}

// Phases begin and end here.
void Runner::step(Time now) {
  const bool all_issued = !by_time() && result_.issued >= plan_.operations;
  if (!open_ && !draining_ && now >= opens_) open_window(now);
  if (now - asked_ >= kTurnMax) {
    asked_ = now;
    if (observer_.stop_asked()) result_.stopped = true;
  }
  if (!draining_ && (result_.stopped || all_issued || (by_time() && now >= closes_))) {
    draining_ = true;
    drain_until_ = now + plan_.drain;
    if (by_time() || result_.stopped) close_window(now);
    if (result_.stopped) backlog_.clear();
  }
  if (now - told_ >= kProgressEvery) tell(now);
}

void Runner::tell(Time now) {
  Progress progress;
  progress.elapsed = now - begun_;
  progress.warming_up = !open_ && !draining_;
  const double all = by_time() ? seconds_of(plan_.warm_up + plan_.measured)
                               : static_cast<double>(plan_.operations);
  const double done = by_time() ? seconds_of(now - begun_) : static_cast<double>(result_.issued);
  progress.share = std::clamp(all > 0 ? done / all : 1.0, 0.0, 1.0);
  progress.per_second = static_cast<double>(done_since_) / seconds_of(now - told_);
  progress.under_way = static_cast<uint32_t>(slots_.size() - free_.size());
  progress.waiting = backlog_.size();
  progress.failed = result_.failed;
  progress.middle = latency_since_.at(0.5);
  progress.slowest_hundredth = latency_since_.at(0.99);
  observer_.on_progress(progress);
  told_ = now;
  done_since_ = 0;
  latency_since_.clear();
}

void Runner::begin_one(Time intended, Time now) {
  const uint32_t slot = free_.back();
  free_.pop_back();
  slots_[slot] = {intended, true};
  if (now - intended > kLateAfter && in_window(intended)) ++result_.late;
  driver_.issue({result_.issued++, intended, slot});
}

void Runner::fill(Time now) {
  if (schedule_) return fill_from_schedule(now);
  if (draining_) return;
  const uint64_t left = by_time() ? UINT64_MAX : plan_.operations - result_.issued;
  for (uint64_t count = 0; count < left && !free_.empty() && driver_.ready(); ++count) {
    begin_one(now, now);
  }
}

void Runner::fill_from_schedule(Time now) {
  uint64_t left = by_time() ? UINT64_MAX : plan_.operations - result_.issued - backlog_.size();
  for (; !draining_ && left > 0 && schedule_->next() <= now && schedule_->next() < closes_;
       schedule_->advance(), --left) {
    if (backlog_.size() < kBacklogMax) {
      backlog_.push_back(schedule_->next());
    } else {
      ++result_.abandoned;
    }
  }
  while (!backlog_.empty() && !free_.empty() && driver_.ready()) {
    begin_one(backlog_.front(), now);
    backlog_.pop_front();
  }
  result_.backlog_most = std::max<uint64_t>(result_.backlog_most, backlog_.size());
}

Duration Runner::patience(Time now) const {
  Time until = now + kTurnMax;
  if (schedule_ && !draining_ && backlog_.empty()) until = std::min(until, schedule_->next());
  if (!draining_) until = std::min(until, open_ ? closes_ : opens_);
  return std::max(until - now, Duration{});
}

Measurement Runner::run() {
  begun_ = told_ = asked_ = clock_now();
  opens_ = begun_ + (by_time() ? plan_.warm_up : Duration{});
  if (plan_.rate > 0) schedule_.emplace(begun_, plan_.rate, plan_.arrivals, plan_.seed);
  for (;;) {
    const Time now = clock_now();
    step(now);
    fill(now);
    const bool idle = free_.size() == slots_.size() && backlog_.empty();
    if (draining_ && (idle || now >= drain_until_)) break;
    driver_.turn(patience(now), *this);
  }
  const Time now = clock_now();
  count_leftovers(now);
  close_window(now);
  driver_.finish();
  result_.side_results = driver_.side_results();
  result_.problems = driver_.problems();
  return std::move(result_);
}

// In an open loop what never ended took at least as long as it was waited for: leaving it out
// would make an overloaded server look fast.
void Runner::count_leftovers(Time now) {
  result_.unsent = backlog_.size();
  for (const Slot& slot : slots_) {
    if (slot.busy) ++result_.unfinished;
    if (slot.busy && in_window(slot.intended)) result_.kinds[0].add(slot.intended, now);
  }
  for (const Time intended : backlog_) {
    if (in_window(intended)) result_.kinds[0].add(intended, now);
  }
}

}  // namespace

void KindResult::add(Time intended, Time now) {
  if (now - intended > latency.most()) slowest_at = intended;
  latency.add(now - intended);
}

uint64_t Measurement::in_window() const {
  uint64_t sum = 0;
  for (const KindResult& kind : kinds) sum += kind.in_window;
  return sum;
}

double Measurement::per_second() const {
  return window > Duration{} ? static_cast<double>(in_window()) / seconds_of(window) : 0;
}

uint64_t Measurement::errors() const {
  return std::accumulate(outcomes.begin() + 1, outcomes.end(), uint64_t{0});
}

Measurement run(Driver& driver, const Plan& plan, Observer& observer) {
  return Runner(driver, plan, observer).run();
}

}  // namespace quorate::load
