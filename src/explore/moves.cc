#include "explore/moves.h"

#include <algorithm>
#include <bit>
#include <deque>

#include "base/check.h"

namespace quorate::explore {
namespace {

bool spend(uint8_t& budget) {
  if (budget == 0) return false;
  if (budget != kUnlimited) --budget;
  return true;
}

void add(Print& sum, const Print& print) {
  sum.low += print.low;
  sum.high += print.high;
}

uint64_t mixed(uint64_t word) {
  word = (word ^ (word >> 32U)) * 0x9fb21c651e98df25ULL;
  word = (word ^ (word >> 29U)) * 0xd6e8feb86659fd93ULL;
  return word ^ (word >> 32U);
}

}  // namespace

// The least print over all renamings: the same for all mirror images. Prints of parts are as good
// as random, so that their sum stands for the bag of them.
Print Moves::canonical(const State& state) const {
  const size_t renamings = universe_.renamings();
  Print least{UINT64_MAX, UINT64_MAX};
  std::array<const Print*, kNodesMax + kInFlightMax + 1> parts{};
  size_t count = 0;
  for (size_t place = 0; place < scope_.nodes; ++place) {
    parts[count++] = universe_.node_prints(state.nodes[place]);
  }
  for (size_t place = 0; place < state.in_flight; ++place) {
    parts[count++] = universe_.packet_prints(state.packets[place]);
  }
  parts[count++] = universe_.history_prints(state.history);
  for (size_t renaming = 0; renaming < renamings; ++renaming) {
    Print sum;
    for (size_t part = 0; part < count; ++part) add(sum, parts[part][renaming]);
    least = std::min(least, sum);
  }
  const auto budgets = std::bit_cast<std::array<uint64_t, 2>>(state.budgets);
  const uint64_t spent = mixed(budgets[0] + mixed(budgets[1] + 1));
  return {mixed(least.low ^ spent), mixed(least.high + spent)};
}

State Moves::first() {
  consensus::Members founders;
  for (uint64_t id = 1; id <= scope_.voters; ++id) founders.voters.push_back({NodeId{id}, 0, {}});
  const consensus::LogShape shape = consensus::log_shape(scope_.protocol);
  LogImage founded(shape);
  const std::string broken = founded.apply(consensus::founding_write(scope_.protocol, founders), 0);
  CHECK(broken.empty(), "a log can be founded");
  State state;
  for (uint64_t id = 1; id <= scope_.nodes; ++id) {
    const LogImage disk = id <= scope_.voters ? founded : LogImage(shape);
    state.nodes[id - 1] = universe_.found(NodeId{id}, disk);
  }
  state.history = universe_.intern(History::founded(founded));
  state.budgets = scope_.budgets;
  return state;
}

// Node 1 campaigns and everything is delivered until nothing moves.
std::string Moves::lead(State& state) {
  std::deque<uint32_t> underway;
  std::string rule;
  const auto perform = [&](uint8_t place, Code code) {
    const Outcome& outcome = universe_.perform(state.nodes[place], code);
    if ((outcome.flags & Outcome::kBroken) != 0) rule = universe_.broken(outcome);
    if (!rule.empty()) return;
    const State before = state;
    state.nodes[place] = outcome.next;
    for (size_t sent = 0; sent < outcome.packets; ++sent) {
      underway.push_back(universe_.packet_of(outcome, sent));
    }
    rule = judge(before, state, place, outcome, code.action);
  };
  const auto settle = [&] {
    for (bool more = true; more && rule.empty();) {
      more = false;
      for (uint8_t place = 0; place < static_cast<uint8_t>(scope_.nodes); ++place) {
        for (; rule.empty() && universe_.summary(state.nodes[place]).pending_writes > 0;) {
          perform(place, {Action::sync, true, 0});
        }
      }
      for (; rule.empty() && !underway.empty(); more = true) {
        const uint32_t packet = underway.front();
        underway.pop_front();
        const auto to = static_cast<uint8_t>(universe_.packet(packet).to.value - 1);
        if (to < scope_.nodes) perform(to, {Action::deliver, true, packet});
      }
    }
  };
  const auto wait = [&](Duration duration) {
    if (scope_.clocks == Clocks::free) return;
    const auto units = static_cast<uint32_t>(duration / kUnit);
    for (uint8_t place = 0; place < static_cast<uint8_t>(scope_.nodes); ++place) {
      perform(place, {Action::pass, true, units});
    }
  };
  wait(kElection);
  perform(0, {Action::wake, true, 0});
  settle();
  wait(kUnit);
  perform(0, {Action::wake, true, 0});  // the news of the commit
  settle();
  const bool established = universe_.node(state.nodes[0]).replica().status().established;
  if (rule.empty() && !established) rule = "node 1 campaigns alone and does not come to lead";
  return rule;
}

void Moves::expand(const State& state, Sink& sink) {
  deliveries(state, sink);
  for (uint8_t place = 0; place < static_cast<uint8_t>(scope_.nodes); ++place) {
    own_events(state, place, sink);
    if (universe_.summary(state.nodes[place]).leads) requests(state, place, sink);
  }
  if (scope_.clocks == Clocks::shared) ticks(state, sink);
}

// The node goes on to the effects of the event, or takes another event first.
void Moves::both_ways(const State& state, uint8_t place, Code code, const Budgets& left,
                      Taken taken, Sink& sink) {
  attempt(state, place, code, left, taken, sink);
  if (universe_.summary(state.nodes[place]).untaken + 1 >= scope_.turn) return;
  code.ends_turn = false;
  attempt(state, place, code, left, taken, sink);
}

void Moves::deliveries(const State& state, Sink& sink) {
  for (uint8_t place = 0; place < state.in_flight; ++place) {
    if (place > 0 && state.packets[place] == state.packets[place - 1]) continue;
    const uint32_t packet = state.packets[place];
    const auto to = static_cast<uint8_t>(universe_.packet(packet).to.value - 1);
    if (to >= scope_.nodes) continue;
    const Code code{Action::deliver, true, packet};
    const bool always_kept = state.budgets.duplicates == kUnlimited;
    if (!always_kept) both_ways(state, to, code, state.budgets, {place, false}, sink);
    Budgets left = state.budgets;
    if (spend(left.duplicates)) both_ways(state, to, code, left, {place, true}, sink);
  }
}

void Moves::own_events(const State& state, uint8_t place, Sink& sink) {
  const Summary& summary = universe_.summary(state.nodes[place]);
  const auto with = [&](uint8_t Budgets::* budget, Code code) {
    Budgets left = state.budgets;
    if (spend(left.*budget)) attempt(state, place, code, left, {}, sink);
  };
  if (summary.untaken > 0) attempt(state, place, {Action::turn, true, 0}, state.budgets, {}, sink);
  if (summary.armed) {
    Budgets left = state.budgets;
    const Code code{Action::wake, true, 0};
    if (spend(summary.leads ? left.heartbeats : left.timeouts)) {
      both_ways(state, place, code, left, {}, sink);
    }
  }
  if (summary.pending_writes > 0) {
    attempt(state, place, {Action::sync, true, 0}, state.budgets, {}, sink);
  }
  if (summary.life < scope_.crashes_each) with(&Budgets::crashes, {Action::crash, true, 0});
  if (may_wipe(state, place)) with(&Budgets::wipes, {Action::wipe, true, 0});
  if (scope_.clocks == Clocks::free) {
    with(&Budgets::passes, {Action::pass, true, static_cast<uint32_t>(kElection / kUnit)});
  }
  for (Index index = summary.snapshot.next(); index <= summary.committed; ++index) {
    with(&Budgets::compactions, {Action::compact, true, static_cast<uint32_t>(index.value)});
  }
  for (uint32_t peer = 1; peer <= scope_.nodes; ++peer) {
    if (peer == place + 1U) continue;
    if (summary.streams) with(&Budgets::failures, {Action::stream_fails, true, peer});
    with(&Budgets::disconnects, {Action::disconnect, true, peer});
  }
}

// Only a minority may be without its memory at a time: docs/decisions/0004.
bool Moves::may_wipe(const State& state, uint8_t place) const {
  size_t lost = universe_.summary(state.nodes[place]).amnesiac ? 0 : 1;
  for (size_t each = 0; each < scope_.nodes; ++each) {
    lost += universe_.summary(state.nodes[each]).amnesiac ? 1 : 0;
  }
  return lost * 2 < scope_.nodes;
}

// What clients and operators ask of a leader; others would only refuse.
void Moves::requests(const State& state, uint8_t place, Sink& sink) {
  const Budgets& before = state.budgets;
  const uint32_t sequence = before.proposed + 1U;
  Budgets left = before;
  ++left.proposed;
  if (spend(left.commands)) {
    both_ways(state, place, {Action::propose, true, sequence}, left, {}, sink);
  }
  left = before;
  ++left.proposed;
  if (spend(left.changes)) {
    for (const uint32_t target : universe_.targets(state.nodes[place])) {
      const uint32_t argument = Universe::change_argument(sequence, target);
      both_ways(state, place, {Action::change, true, argument}, left, {}, sink);
    }
  }
  left = before;
  ++left.asked;
  const Code read{Action::read, true, left.asked};
  if (spend(left.reads)) both_ways(state, place, read, left, {}, sink);
  left = before;
  if (!spend(left.transfers)) return;
  for (uint32_t peer = 1; peer <= scope_.nodes; ++peer) {
    if (peer == place + 1U) continue;
    attempt(state, place, {Action::transfer, true, peer}, left, {}, sink);
  }
}

// All clocks advance, and at most one of them lags.
void Moves::ticks(const State& state, Sink& sink) {
  Budgets left = state.budgets;
  if (!spend(left.ticks)) return;
  const size_t choices = scope_.lease_reads ? scope_.nodes + 1 : 1;
  for (size_t choice = 0; choice < choices; ++choice) {
    const size_t slow = scope_.nodes - choice;  // the node count: none
    State next = state;
    next.budgets = left;
    for (size_t place = 0; place < scope_.nodes; ++place) {
      const uint64_t units = place == slow ? kSlowTickUnits : kTickUnits;
      const Code code{Action::pass, true, static_cast<uint32_t>(units)};
      next.nodes[place] = universe_.perform(state.nodes[place], code).next;
    }
    Move move{Move::kAllNodes, {Action::pass, true, static_cast<uint32_t>(slow)}, false, nullptr};
    if (next.nodes != state.nodes) sink.reach(move, next);
  }
}

void Moves::attempt(const State& state, uint8_t place, Code code, const Budgets& left, Taken taken,
                    Sink& sink) {
  const Outcome& outcome = universe_.perform(state.nodes[place], code);
  const Move move{place, code, taken.kept, &outcome};
  if ((outcome.flags & Outcome::kBroken) != 0) return sink.broken(move, universe_.broken(outcome));
  const bool silent = outcome.packets == 0 && (outcome.flags & Outcome::kAnswers) == 0;
  if (silent && outcome.next == state.nodes[place]) return;
  const uint64_t first_term = scope_.start == Start::led ? 2 : 1;
  if (universe_.summary(outcome.next).term > first_term + scope_.terms) {
    ++cuts_.terms;
    return;
  }
  // A request that was refused at once has changed nothing.
  const bool request = code.action == Action::propose || code.action == Action::change;
  if (request && (outcome.flags & Outcome::kRefuses) != 0) return;
  State next = state;
  next.nodes[place] = outcome.next;
  next.budgets = left;
  const std::string rule = judge(state, next, place, outcome, code.action);
  if (!rule.empty()) return sink.broken(move, rule);
  if (taken.place != Taken::kNone && !taken.kept) {
    for (size_t at = taken.place; at + 1 < next.in_flight; ++at) {
      next.packets[at] = next.packets[at + 1];
    }
    --next.in_flight;
  }
  spread(move, next, state, sink);
}

std::string Moves::judge(const State& before, State& next, uint8_t place, const Outcome& outcome,
                         Action action) {
  const Node& node = universe_.node(next.nodes[place]);
  if ((outcome.flags & Outcome::kWrites) != 0) {
    for (size_t other = 0; other < scope_.nodes; ++other) {
      if (other == place) continue;
      const Node& there = universe_.node(next.nodes[other]);
      std::string rule = logs_match(node.self(), node.logical(), there.self(), there.logical());
      if (rule.empty() && there.pending_writes() > 0) {
        rule = logs_match(node.self(), node.logical(), there.self(), there.durable());
      }
      if (!rule.empty()) return rule;
    }
  }
  constexpr uint8_t kTold = Outcome::kLeads | Outcome::kCommits | Outcome::kAnswers;
  const bool told = (outcome.flags & kTold) != 0;
  const bool restarted = action == Action::crash || action == Action::wipe;
  if (!told && !restarted && action != Action::read) return {};
  History history = universe_.history(next.history);
  if (restarted) history.crashed(node.self());
  if (action == Action::read) {
    history.read_asked(node.self(), ReadId{next.budgets.asked});
  }
  std::string rule = judge_history(before, next, place, outcome, history);
  if (rule.empty()) next.history = universe_.intern(history);
  return rule;
}

InForce Moves::in_force(const Node& before, const Node& after) const {
  const auto at = consensus::decode_members(after.logical().members_at(after.committed()));
  return {before.replica().members(), at.value_or(consensus::Members{}), after.replica().members()};
}

std::string Moves::judge_history(const State& before, const State& next, uint8_t place,
                                 const Outcome& outcome, History& history) const {
  const Node& node = universe_.node(next.nodes[place]);
  const Summary& summary = universe_.summary(next.nodes[place]);
  if ((outcome.flags & Outcome::kLeads) != 0) {
    std::string rule = history.leading(node.self(), summary.term, node.logical());
    if (!rule.empty()) return rule;
  }
  if ((outcome.flags & Outcome::kCommits) != 0) {
    std::vector<const LogImage*> disks;
    for (size_t each = 0; each < scope_.nodes && scope_.quorum_rule; ++each) {
      disks.push_back(&universe_.node(next.nodes[each]).vouched());
    }
    std::string rule =
        history.committed(node.self(), node.committed(), summary.term, node.logical(),
                          in_force(universe_.node(before.nodes[place]), node), disks);
    if (!rule.empty()) return rule;
  }
  if ((outcome.flags & Outcome::kAnswers) != 0) {
    const Answers& answers = universe_.answers(outcome);
    for (const consensus::ReadReady& read : answers.reads) {
      std::string rule = history.read_answered(node.self(), read.id, read.index);
      if (!rule.empty()) return rule;
    }
    for (const ReadId id : answers.refused) history.read_refused(id);
  }
  return {};
}

// Adds the messages that were sent. When there is no room for all, every selection is tried.
void Moves::spread(const Move& move, State& next, const State& before, Sink& sink) {
  const bool as_set = before.budgets.duplicates == kUnlimited;
  candidates_.assign(next.packets.begin(), next.packets.begin() + next.in_flight);
  for (size_t place = 0; place < move.outcome->packets; ++place) {
    candidates_.push_back(universe_.packet_of(*move.outcome, place));
  }
  std::ranges::sort(candidates_);
  if (as_set) candidates_.erase(std::ranges::unique(candidates_).begin(), candidates_.end());
  if (candidates_.size() > scope_.in_flight) ++cuts_.in_flight;
  next.in_flight = 0;
  choose(move, next, 0, sink);
}

// Fills the room that is left with candidates from `place` on, equal ones only once in each way.
void Moves::choose(const Move& move, State& next, size_t place, Sink& sink) {
  const size_t room = scope_.in_flight - next.in_flight;
  const size_t left = candidates_.size() - place;
  if (left <= room) {
    State full = next;
    for (size_t rest = place; rest < candidates_.size(); ++rest) {
      full.packets[full.in_flight++] = candidates_[rest];
    }
    return sink.reach(move, full);
  }
  if (room == 0) return sink.reach(move, next);
  State with = next;
  with.packets[with.in_flight++] = candidates_[place];
  choose(move, with, place + 1, sink);
  size_t other = place;
  while (other < candidates_.size() && candidates_[other] == candidates_[place]) ++other;
  // Without this one, but still full.
  if (candidates_.size() - other >= room) choose(move, next, other, sink);
}

}  // namespace quorate::explore
