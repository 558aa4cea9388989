#include "explore/synod/remedy.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/rng.h"
#include "base/types.h"
#include "consensus/synod/back_off.h"
#include "consensus/synod/learner.h"
#include "explore/synod/process.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {

using namespace consensus::synod;

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration kFast = milliseconds(1);
constexpr Duration kSlow = milliseconds(10);
constexpr Duration kStartWithin = milliseconds(12);  // of each other
constexpr Duration kHeartbeat = milliseconds(10);
constexpr Duration kPatience = milliseconds(40);  // more than a heartbeat and its way

// One run with real proposers and acceptors whose disks take no time.
class Run {
 public:
  Run(Retry retry, Delays delays, uint64_t seed)
      : retry_(retry), delays_(delays), rng_(seed), learner_(acceptors()) {
    for (size_t place = 0; place < kProposers; ++place) {
      proposers_.emplace_back(proposer_id(place), acceptors(), wish(place, 0), 0);
      back_offs_.emplace_back(kSlow, 8 * kSlow);
    }
    const auto within = [this](Duration bound) {
      return Duration(rng_.between(0, static_cast<uint64_t>(bound.count())));
    };
    const Duration second = within(kStartWithin);
    if (rng_.below(2) == 0) crash_at_ = Time{} + within(2 * kSlow);
    at(Time{}, {Kind::begin, 0, 0, {}});
    at(Time{} + (retry == Retry::distinguished ? kPatience : second), {Kind::begin, 1, 0, {}});
    if (retry == Retry::distinguished) at(Time{}, {Kind::beat, 0, 0, {}});
  }

  // When a value was chosen; nothing: not within kBallotsMax.
  std::optional<Time> play() {
    while (!events_.empty() && ballots_ <= kBallotsMax) {
      const auto first = events_.begin();
      now_ = first->first.first;
      const Event event = std::move(first->second);
      events_.erase(first);
      take(event);
      if (learner_.learned()) return now_;
    }
    return std::nullopt;
  }
  uint64_t ballots() const { return ballots_; }

 private:
  enum class Kind : uint8_t { begin, ask, answer, beat, heard };
  struct Event {
    Kind kind;
    size_t proposer;
    size_t acceptor;
    Body body;
  };

  void at(Time when, Event event) { events_.emplace(std::pair(when, ++order_), std::move(event)); }
  Duration delay(const Body& body) {
    if (delays_ == Delays::unfair) return std::holds_alternative<Accept>(body) ? kSlow : kFast;
    return Duration(
        rng_.between(static_cast<uint64_t>(kFast.count()), static_cast<uint64_t>(kSlow.count())));
  }
  bool crashed(size_t proposer) const { return proposer == 0 && now_ >= crash_at_; }
  void ask_all(size_t proposer, const Body& body) {
    for (size_t acceptor = 0; acceptor < kAcceptors; ++acceptor) {
      at(now_ + delay(body), {Kind::ask, proposer, acceptor, body});
    }
  }
  void take(const Event& event);
  void begin(size_t proposer);
  void hear(const Event& event);

  Retry retry_;
  Delays delays_;
  Rng rng_;
  Time now_{};
  Time crash_at_ = kNever;  // of proposer A
  Time heard_{};            // proposer B of proposer A
  uint64_t ballots_ = 0;
  uint64_t order_ = 0;
  std::map<std::pair<Time, uint64_t>, Event> events_;
  std::array<Acceptor, kAcceptors> acceptors_{Acceptor({}), Acceptor({}), Acceptor({})};
  std::vector<Proposer> proposers_;
  std::vector<BackOff> back_offs_;
  Learner learner_;
};

void Run::take(const Event& event) {
  if (event.kind == Kind::ask) {
    Acceptor& asked = acceptors_[event.acceptor];
    const auto* prepare = std::get_if<Prepare>(&event.body);
    Body answer =
        prepare != nullptr ? asked.on(*prepare).body : asked.on(std::get<Accept>(event.body)).body;
    const Duration way = delay(answer);
    return at(now_ + way, {Kind::answer, event.proposer, event.acceptor, std::move(answer)});
  }
  if (event.kind == Kind::heard) {
    heard_ = now_;
    return;
  }
  // The learner sits at no proposer: it hears of acceptances even if theirs has crashed.
  if (event.kind == Kind::answer) return hear(event);
  if (crashed(event.proposer)) return;
  if (event.kind == Kind::begin) return begin(event.proposer);
  at(now_ + delay(Prepare{}), {Kind::heard, 1, 0, {}});
  at(now_ + kHeartbeat, {Kind::beat, 0, 0, {}});
}

void Run::begin(size_t proposer) {
  const bool waits = retry_ == Retry::distinguished && proposer == 1;
  if (waits && now_ < heard_ + kPatience) {
    return at(heard_ + kPatience, {Kind::begin, proposer, 0, {}});
  }
  ++ballots_;
  ask_all(proposer, proposers_[proposer].begin());
}

void Run::hear(const Event& event) {
  if (const auto* accepted = std::get_if<Accepted>(&event.body)) {
    return learner_.on(acceptor_id(event.acceptor), *accepted);
  }
  if (crashed(event.proposer)) return;
  Proposer& proposer = proposers_[event.proposer];
  if (const auto* promise = std::get_if<Promise>(&event.body)) {
    if (const auto accept = proposer.on(acceptor_id(event.acceptor), *promise)) {
      ask_all(event.proposer, *accept);
    }
  } else if (const auto* refused = std::get_if<Refused>(&event.body)) {
    const bool was_under_way = proposer.phase() != Proposer::Phase::idle;
    proposer.on(*refused);
    if (!was_under_way || proposer.phase() != Proposer::Phase::idle) return;
    const bool at_once = retry_ == Retry::at_once;
    const Duration wait = at_once ? Duration{} : back_offs_[event.proposer].next(rng_);
    at(now_ + wait, {Kind::begin, event.proposer, 0, {}});
  }
}

uint64_t at_share(std::vector<uint64_t>& sorted, uint64_t percent) {
  if (sorted.empty()) return 0;
  return sorted[(sorted.size() - 1) * percent / 100];
}

Remedy measure(Retry retry, Delays delays, uint64_t runs) {
  Remedy remedy;
  remedy.retry = retry;
  remedy.delays = delays;
  remedy.runs = runs;
  std::vector<uint64_t> ballots;
  std::vector<uint64_t> times;
  for (uint64_t seed = 1; seed <= runs; ++seed) {
    Run run(retry, delays, seed);
    const auto when = run.play();
    if (!when) continue;
    ++remedy.decided;
    ballots.push_back(run.ballots());
    const auto took = std::chrono::duration_cast<microseconds>(*when - Time{});
    times.push_back(static_cast<uint64_t>(took.count()));
  }
  std::ranges::sort(ballots);
  std::ranges::sort(times);
  remedy.ballots_median = at_share(ballots, 50);
  remedy.ballots_99 = at_share(ballots, 99);
  remedy.ballots_most = at_share(ballots, 100);
  remedy.microseconds_median = at_share(times, 50);
  remedy.microseconds_most = at_share(times, 100);
  return remedy;
}

}  // namespace

std::vector<Remedy> measure_remedies(uint64_t runs) {
  std::vector<Remedy> all;
  for (const Delays delays : {Delays::fair, Delays::unfair}) {
    for (const Retry retry : {Retry::at_once, Retry::back_off, Retry::distinguished}) {
      all.push_back(measure(retry, delays, runs));
    }
  }
  return all;
}

}  // namespace quorate::explore::synod
