// explore/moves.h: what can happen next in a state of the whole cluster.
//
// Loss needs no moves of its own. A message in flight may always stay there, so it is lost in
// effect until there is no room for a new one; then any selection of the old and new ones is tried.
// Whatever could follow from fewer messages follows from more, so nothing is missed, and far fewer
// states are met than if each message could vanish at any time. Nor is what changes nothing and
// says nothing a move.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "explore/scope.h"
#include "explore/universe.h"

namespace quorate::explore {

struct State {
  std::array<uint32_t, kNodesMax> nodes{};
  uint32_t history = 0;
  Budgets budgets;
  uint8_t in_flight = 0;
  std::array<uint32_t, kInFlightMax> packets{};  // sorted
};

struct Move {
  static constexpr uint8_t kAllNodes = UINT8_MAX;
  uint8_t node = 0;   // position, or all for a tick of the clocks
  Code code;          // of a tick: the argument is the position of the slow node, or the node count
  bool kept = false;  // the delivered message stays in flight
  const Outcome* outcome = nullptr;  // of a single node
};

class Moves {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void reach(const Move& move, const State& next) = 0;
    virtual void broken(const Move& move, const std::string& rule) = 0;
  };
  // Cut off by a bound of the scope, so that the search is not exhaustive beyond it.
  struct Cuts {
    uint64_t terms = 0;
    uint64_t in_flight = 0;  // states from which messages had to be lost for want of room
  };

  explicit Moves(Universe& universe) : universe_(universe), scope_(universe.scope()) {}

  State first();
  std::string lead(State& state);  // to Start::led; returns a broken rule
  void expand(const State& state, Sink& sink);
  Print canonical(const State& state) const;
  const Cuts& cuts() const { return cuts_; }
  // `after`: null when the move broke a rule.
  std::string describe(const State& before, const Move& move, const State* after) const;

 private:
  struct Taken {  // a message that is delivered
    static constexpr uint8_t kNone = UINT8_MAX;
    uint8_t place = kNone;
    bool kept = false;
  };
  void deliveries(const State& state, Sink& sink);
  void own_events(const State& state, uint8_t place, Sink& sink);
  bool may_wipe(const State& state, uint8_t place) const;
  void requests(const State& state, uint8_t place, Sink& sink);
  void ticks(const State& state, Sink& sink);
  void attempt(const State& state, uint8_t place, Code code, const Budgets& left, Taken taken,
               Sink& sink);
  std::string judge(const State& before, State& next, uint8_t place, const Outcome& outcome,
                    Action action);
  std::string judge_history(const State& before, const State& next, uint8_t place,
                            const Outcome& outcome, History& history) const;
  InForce in_force(const Node& before, const Node& after) const;
  void spread(const Move& move, State& next, const State& before, Sink& sink);
  void choose(const Move& move, State& next, size_t place, Sink& sink);
  void both_ways(const State& state, uint8_t place, Code code, const Budgets& left, Taken taken,
                 Sink& sink);

  Universe& universe_;
  const Scope& scope_;
  Cuts cuts_;
  std::vector<uint32_t> candidates_;  // messages that compete for room
};

}  // namespace quorate::explore
