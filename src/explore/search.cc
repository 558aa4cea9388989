#include "explore/search.h"

#include <algorithm>

#include "base/check.h"
#include "base/rng.h"
#include "explore/frontier.h"
#include "explore/visited.h"

namespace quorate::explore {
namespace {

constexpr uint64_t kInterruptEvery = 1U << 16U;

class Search : private Moves::Sink {
 public:
  Search(const Scope& scope, const Limits& limits)
      : scope_(scope),
        limits_(limits),
        universe_(scope, limits.verify_every),
        moves_(universe_),
        visited_(limits.table_bytes) {
    report_.scope = scope.name;
    report_.bounds = explore::describe(scope);
  }

  Report run() {
    const ChecksAreFindings guard;
    try {
      search();
    } catch (const CheckFailed& failed) {  // not by the core: those are caught where it is called
      report_.broken = "the searcher itself: " + failed.text;
    }
    return finish();
  }

  Report follow(const std::vector<std::string>& trace);

 private:
  void search() {
    if (!begin()) return;
    const Visited::Answer root = visited_.insert(moves_.canonical(start_), Visited::kNone);
    next_.push(start_, root.place, scope_.nodes);
    for (report_.depth = 0; next_.size() != 0 && going(); ++report_.depth) {
      if (report_.depth == scope_.depth) {
        stop("the depth of the scope");
        break;
      }
      current_ = std::exchange(next_, Frontier());
      State state;
      while (going() && current_.pop(state, place_, scope_.nodes)) {
        expanded_ = &state;
        moves_.expand(state, *this);
      }
    }
    if (!report_.broken.empty()) explain();
  }

  bool going() const { return report_.broken.empty() && report_.stopped.empty(); }
  void stop(std::string why) {
    if (report_.stopped.empty()) report_.stopped = std::move(why);
  }

  bool begin() {
    start_ = moves_.first();
    if (scope_.start == Start::led) report_.broken = moves_.lead(start_);
    if (!report_.broken.empty()) return false;
    Rng rng(limits_.seed);
    for (uint64_t step = 0; step < limits_.walk && going(); ++step) {
      if (!walk(rng)) break;
    }
    refill();
    return going();
  }

  // Random steps spend nothing of what the search may do.
  void refill() {
    const Budgets before = std::exchange(start_.budgets, scope_.budgets);
    start_.budgets.proposed = before.proposed;
    start_.budgets.asked = before.asked;
  }
  bool walk(Rng& rng);
  void explain();
  Report finish() {
    report_.states = visited_.size();
    report_.waiting = current_.size() + next_.size();
    report_.node_states = universe_.node_count();
    report_.packets = universe_.packet_count();
    report_.core_steps = universe_.core_steps();
    report_.verified = universe_.verified();
    report_.beyond_terms = moves_.cuts().terms;
    report_.overfull = moves_.cuts().in_flight;
    return report_;
  }

  void reach(const Move& /*move*/, const State& next) override {
    if (!going()) return;
    ++report_.transitions;
    const Visited::Answer answer = visited_.insert(moves_.canonical(next), place_);
    if (answer.fresh) next_.push(next, answer.place, scope_.nodes);
    if (visited_.full()) stop("the table of states is full");
    if (report_.transitions % kInterruptEvery != 0) return;
    if (current_.bytes() + next_.bytes() > limits_.frontier_bytes) {
      stop("too many states wait");
    }
    if (!limits_.interrupt) return;
    finish();
    stop(limits_.interrupt(report_));
  }
  void broken(const Move& move, const std::string& rule) override {
    if (!going()) return;
    ++report_.transitions;
    report_.broken = rule;
    last_move_ = move;
  }

  const Scope scope_;
  const Limits limits_;
  Universe universe_;
  Moves moves_;
  Visited visited_;
  Frontier current_;
  Frontier next_;
  State start_;
  uint32_t place_ = Visited::kNone;  // of the state that is being expanded
  const State* expanded_ = nullptr;
  Move last_move_;
  Report report_;
};

// All successors of one state.
struct Successors : Moves::Sink {
  struct Each {
    Move move;
    State state;
  };
  std::vector<Each> all;
  Move broken_move;
  std::string rule;

  void reach(const Move& move, const State& next) override { all.push_back({move, next}); }
  void broken(const Move& move, const std::string& broken_rule) override {
    if (rule.empty()) {
      broken_move = move;
      rule = broken_rule;
    }
  }
};

bool Search::walk(Rng& rng) {
  Successors successors;
  refill();
  moves_.expand(start_, successors);
  if (!successors.rule.empty()) {
    report_.broken = successors.rule;
    report_.trace.push_back(moves_.describe(start_, successors.broken_move, nullptr));
    return false;
  }
  ++report_.walked;
  if (successors.all.empty()) return false;
  const Successors::Each& chosen = successors.all[rng.below(successors.all.size())];
  report_.trace.push_back(moves_.describe(start_, chosen.move, &chosen.state));
  start_ = chosen.state;
  return true;
}

// The way from the start, found again by the prints of the states on it.
void Search::explain() {
  std::vector<Print> way;
  for (uint32_t place = place_; visited_.parent(place) != Visited::kNone;
       place = visited_.parent(place)) {
    way.push_back(visited_.print(place));
  }
  State state = start_;
  for (auto wanted = way.rbegin(); wanted != way.rend(); ++wanted) {
    Successors successors;
    moves_.expand(state, successors);
    const auto found = std::ranges::find_if(successors.all, [&](const Successors::Each& each) {
      return moves_.canonical(each.state) == *wanted;
    });
    CHECK(found != successors.all.end(), "a state that was reached can be reached again");
    report_.trace.push_back(moves_.describe(state, found->move, &found->state));
    state = found->state;
  }
  Successors successors;
  moves_.expand(state, successors);
  CHECK(!successors.rule.empty(), "a rule that was broken can be broken again");
  report_.broken = successors.rule;  // the node names of this way, not of its mirror image
  report_.trace.push_back(moves_.describe(state, successors.broken_move, nullptr));
}

Report Search::follow(const std::vector<std::string>& trace) {
  const ChecksAreFindings guard;
  if (!begin()) return finish();
  report_.trace.clear();
  State state = start_;
  for (const std::string& line : trace) {
    Successors successors;
    moves_.expand(state, successors);
    if (!successors.rule.empty() &&
        moves_.describe(state, successors.broken_move, nullptr) == line) {
      report_.broken = successors.rule;
      report_.trace.push_back(line);
      return finish();
    }
    const auto found = std::ranges::find_if(successors.all, [&](const Successors::Each& each) {
      return moves_.describe(state, each.move, &each.state) == line;
    });
    if (found == successors.all.end()) {
      stop("this cannot happen here any more: " + line);
      return finish();
    }
    report_.trace.push_back(line);
    state = found->state;
    ++report_.depth;
  }
  return finish();
}

}  // namespace

Report explore(const Scope& scope, const Limits& limits) { return Search(scope, limits).run(); }

Report replay(const Scope& scope, uint64_t walk, uint64_t seed,
              const std::vector<std::string>& moves) {
  Limits limits;
  limits.table_bytes = 0;
  limits.walk = walk;
  limits.seed = seed;
  return Search(scope, limits).follow(moves);
}

// Birthday bound over 128 bits.
double collisions_expected(uint64_t states) {
  const auto count = static_cast<double>(states);
  return count * count / 2 / 0x1p128;
}

}  // namespace quorate::explore
