#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <optional>

#include "base/check.h"
#include "consensus/synod/learner.h"
#include "explore/synod/process.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {

using namespace consensus::synod;

namespace {

constexpr size_t kProcesses = kAcceptors + kProposers;
constexpr size_t kMessagesMax = 384;  // all different, over a whole search
using Number = uint16_t;
constexpr Number kNotAsked = 0xffff;

class MessageSet {
 public:
  bool has(Number message) const { return (words_[message / 64] >> (message % 64U) & 1U) != 0; }
  void add(Number message) { words_[message / 64] |= uint64_t{1} << (message % 64U); }
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (size_t word = 0; word < words_.size(); ++word) {
      for (uint64_t left = words_[word]; left != 0; left &= left - 1) {
        visit(static_cast<Number>(word * 64 + static_cast<size_t>(std::countr_zero(left))));
      }
    }
  }
  const std::array<uint64_t, kMessagesMax / 64>& words() const { return words_; }
  auto operator<=>(const MessageSet&) const = default;

 private:
  std::array<uint64_t, kMessagesMax / 64> words_{};
};

struct State {
  MessageSet sent;  // ever
  std::array<Number, kProcesses> processes{};
  uint8_t begun = 0;
  uint8_t crashed = 0;
  uint8_t victim = 0;  // the one process that may crash
  bool operator==(const State&) const = default;
};

struct Sent {
  NodeId from;
  Body body;
};

enum class Kind : uint8_t { begin, deliver, sync, crash };
struct Move {
  Kind kind = Kind::begin;
  uint8_t process = 0;
  Number what = 0;  // begin: the round to be above; deliver: the message
};

// A state of a process after a move, and what it sent.
struct Effect {
  Number next = kNotAsked;
  std::vector<Number> sent;
};

uint64_t mixed(const State& state) {
  uint64_t hash = 0x9e3779b97f4a7c15ULL;
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
    hash ^= hash >> 32U;
  };
  for (const uint64_t word : state.sent.words()) mix(word);
  uint64_t rest = uint64_t{state.begun} << 16U | uint64_t{state.crashed} << 8U | state.victim;
  for (const Number process : state.processes) {
    mix(rest);
    rest = process;
  }
  mix(rest);
  return hash;
}

// All states met, in the order of their distance, each with the way it was reached.
class Visited {
 public:
  Visited() : slots_(size_t{1} << 16U, 0) {}
  // False: known.
  bool add(const State& state, uint32_t from, Move move) {
    if (states_.size() * 2 > slots_.size()) grow();
    size_t slot = mixed(state) & (slots_.size() - 1);
    for (; slots_[slot] != 0; slot = (slot + 1) & (slots_.size() - 1)) {
      if (states_[slots_[slot] - 1] == state) return false;
    }
    states_.push_back(state);
    ways_.emplace_back(from, move);
    slots_[slot] = static_cast<uint32_t>(states_.size());
    return true;
  }
  size_t size() const { return states_.size(); }
  const State& at(size_t place) const { return states_[place]; }
  const std::pair<uint32_t, Move>& way(size_t place) const { return ways_[place]; }

 private:
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (size_t place = 0; place < states_.size(); ++place) {
      size_t slot = mixed(states_[place]) & (slots_.size() - 1);
      while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
      slots_[slot] = static_cast<uint32_t>(place + 1);
    }
  }
  std::vector<State> states_;
  std::vector<std::pair<uint32_t, Move>> ways_;
  std::vector<uint32_t> slots_;  // one more than the place; 0: free
};

// Values by their keys, each once.
template <class Value>
class Numbered {
 public:
  Number add(const std::string& key, const Value& value) {
    const auto [found, fresh] = numbers_.try_emplace(key, static_cast<Number>(values_.size()));
    if (fresh) values_.push_back(value);
    CHECK(values_.size() < kNotAsked, "the bounds keep single processes small");
    return found->second;
  }
  const Value& at(Number number) const { return values_[number]; }
  size_t size() const { return values_.size(); }

 private:
  std::map<std::string, Number> numbers_;
  std::vector<Value> values_;
};

class Search {
 public:
  Search(const Scope& scope, const Limits& limits) : scope_(scope), limits_(limits) {
    report_.scope = scope;
  }
  Report run();

 private:
  void expand(uint32_t place);
  bool try_move(uint32_t from, Move move);
  const Effect& effect_of(const State& state, Move move);
  Effect work_out(const State& state, Move move);
  std::vector<Number> number_all(size_t process, const std::vector<Body>& bodies);
  std::string broken_rule(const State& state, size_t process, bool news);
  std::string broken_promise(const State& state, size_t acceptor) const;
  std::string broken_agreement(const State& state);
  std::string describe(const State& before, Move move) const;
  void tell(uint32_t place);
  bool slow(const State& state, size_t process) const {
    return scope_.slow_disk && process == state.victim && state.crashed < scope_.crashes;
  }
  std::array<Number, 3> question(const State& state, Move move) const;

  const Scope scope_;
  const Limits& limits_;
  Report report_;
  Visited visited_;
  Numbered<Sent> messages_;
  Numbered<AcceptorProcess> acceptors_;
  Numbered<ProposerProcess> proposers_;
  // What a process in a state does upon an event is worked out once.
  std::map<std::array<Number, 3>, Effect> effects_;
  std::map<MessageSet, bool> judged_;  // by what was accepted: whether a value is chosen
  uint32_t starts_ = 1;
  uint32_t depth_end_ = 1;
};

Report Search::run() {
  State start;
  const Number acceptor = acceptors_.add(AcceptorProcess{}.key(), {});
  for (size_t process = 0; process < kAcceptors; ++process) start.processes[process] = acceptor;
  for (size_t place = 0; place < kProposers; ++place) {
    const ProposerProcess proposer(place);
    start.processes[kAcceptors + place] = proposers_.add(proposer.key(), proposer);
  }
  // Acceptors are alike, so it is the first of them that crashes, if one does.
  for (const size_t victim : {size_t{0}, kAcceptors, kAcceptors + 1}) {
    start.victim = static_cast<uint8_t>(victim);
    if (victim == 0 || scope_.crashes != 0) visited_.add(start, 0, {});
  }
  starts_ = depth_end_ = static_cast<uint32_t>(visited_.size());
  for (uint32_t place = 0; place < visited_.size() && report_.broken.empty(); ++place) {
    if (place == depth_end_) {
      ++report_.depth;
      depth_end_ = static_cast<uint32_t>(visited_.size());
    }
    if (visited_.size() >= limits_.states_max) report_.stopped = "the bound on states";
    if (place % 4096 == 0 && limits_.interrupt && limits_.interrupt(visited_.size())) {
      report_.stopped = "the end of its time";
    }
    if (!report_.stopped.empty()) break;
    expand(place);
  }
  report_.states = visited_.size();
  report_.messages = messages_.size();
  report_.acceptor_states = acceptors_.size();
  report_.proposer_states = proposers_.size();
  return report_;
}

void Search::expand(uint32_t place) {
  const State state = visited_.at(place);
  for (uint8_t process = 0; process < kProcesses; ++process) {
    if (process == state.victim && state.crashed < scope_.crashes) {
      if (!try_move(place, {Kind::sync, process, 0})) return;
      if (!try_move(place, {Kind::crash, process, 0})) return;
    }
    if (process < kAcceptors || state.begun >= scope_.ballots) continue;
    const uint64_t used = proposers_.at(state.processes[process]).core.round_used();
    for (uint64_t above = used; above < scope_.rounds; ++above) {
      if (!try_move(place, {Kind::begin, process, static_cast<Number>(above)})) return;
    }
  }
  std::vector<Number> sent;
  state.sent.for_each([&sent](Number message) { sent.push_back(message); });
  for (const Number message : sent) {
    const Sent& it = messages_.at(message);
    if (std::holds_alternative<Accepted>(it.body)) continue;  // the learners hear all of them
    if (const auto* promise = std::get_if<Promise>(&it.body)) {
      const auto to = static_cast<uint8_t>(promise->ballot.node.value - 1);
      if (!try_move(place, {Kind::deliver, to, message})) return;
      continue;
    }
    for (uint8_t to = 0; to < kAcceptors; ++to) {
      if (!try_move(place, {Kind::deliver, to, message})) return;
    }
  }
}

// False: a rule is broken, the search is over.
bool Search::try_move(uint32_t from, Move move) {
  State next = visited_.at(from);
  const Effect& effect = effect_of(next, move);
  const bool fresh_sent =
      std::ranges::any_of(effect.sent, [&](Number message) { return !next.sent.has(message); });
  if (effect.next == next.processes[move.process] && !fresh_sent) return true;
  next.processes[move.process] = effect.next;
  for (const Number message : effect.sent) next.sent.add(message);
  if (move.kind == Kind::begin) ++next.begun;
  if (move.kind == Kind::crash) ++next.crashed;
  ++report_.transitions;
  if (!visited_.add(next, from, move)) return true;
  report_.broken = broken_rule(next, move.process, fresh_sent);
  if (report_.broken.empty()) return true;
  tell(static_cast<uint32_t>(visited_.size() - 1));
  return false;
}

// Acceptors in equal states differ by their names, which their answers carry.
std::array<Number, 3> Search::question(const State& state, Move move) const {
  const unsigned kind = static_cast<unsigned>(move.kind) * 2 + (slow(state, move.process) ? 1 : 0);
  return {static_cast<Number>(kind << 8U | move.process), state.processes[move.process], move.what};
}

const Effect& Search::effect_of(const State& state, Move move) {
  Effect& effect = effects_[question(state, move)];
  if (effect.next == kNotAsked) effect = work_out(state, move);
  return effect;
}

Effect Search::work_out(const State& state, Move move) {
  Effect effect;
  const size_t process = move.process;
  const auto work = [&](auto& numbered, auto&& deliver) {
    auto it = numbered.at(state.processes[process]);
    std::vector<Body> bodies;
    if (move.kind == Kind::sync) bodies = it.sync();
    if (move.kind == Kind::crash) it.crash();
    if (move.kind == Kind::deliver || move.kind == Kind::begin) bodies = deliver(it);
    effect.sent = number_all(process, bodies);
    effect.next = numbered.add(it.key(), it);
  };
  if (process < kAcceptors) {
    work(acceptors_, [&](AcceptorProcess& it) {
      return it.take(messages_.at(move.what).body, slow(state, process));
    });
  } else {
    work(proposers_, [&](ProposerProcess& it) {
      if (move.kind == Kind::begin) return it.begin(move.what, slow(state, process));
      const Sent& sent = messages_.at(move.what);
      return it.take(sent.from, sent.body);
    });
  }
  return effect;
}

std::vector<Number> Search::number_all(size_t process, const std::vector<Body>& bodies) {
  std::vector<Number> numbers;
  for (const Body& body : bodies) {
    const NodeId from{process + 1};
    numbers.push_back(messages_.add(std::to_string(process) + key(body), Sent{from, body}));
    CHECK(messages_.size() <= kMessagesMax, "the bounds keep messages few");
  }
  return numbers;
}

std::string Search::broken_rule(const State& state, size_t process, bool news) {
  if (process < kAcceptors) {
    std::string broken = broken_promise(state, process);
    if (!broken.empty()) return broken;
  }
  if (news) {
    std::string broken = broken_agreement(state);
    if (!broken.empty()) return broken;
  }
  MessageSet accepted;
  state.sent.for_each([&](Number message) {
    if (std::holds_alternative<Accepted>(messages_.at(message).body)) accepted.add(message);
  });
  if (const auto found = judged_.find(accepted); found != judged_.end() && found->second) {
    ++report_.deciding;
  }
  return {};
}

std::string Search::broken_promise(const State& state, size_t acceptor) const {
  const AcceptorState& disk = acceptors_.at(state.processes[acceptor]).disk;
  std::string broken;
  state.sent.for_each([&](Number message) {
    const Sent& sent = messages_.at(message);
    if (sent.from != acceptor_id(acceptor)) return;
    if (const auto* promise = std::get_if<Promise>(&sent.body)) {
      if (promise->ballot > disk.promised) {
        broken = "durability: a promise has left that the acceptor's disk does not know";
      }
    } else if (const auto* accepted = std::get_if<Accepted>(&sent.body)) {
      if (!disk.accepted || accepted->proposal.ballot > disk.accepted->ballot) {
        broken = "durability: an acceptance has left that the acceptor's disk does not know";
      }
    }
  });
  return broken;
}

// Over everything that was ever accepted: whoever hears of any part of it.
std::string Search::broken_agreement(const State& state) {
  MessageSet accepted;
  std::map<Ballot, Bytes> proposed;
  std::string broken;
  state.sent.for_each([&](Number message) {
    const Sent& sent = messages_.at(message);
    if (std::holds_alternative<Accepted>(sent.body)) accepted.add(message);
    const auto* accept = std::get_if<Accept>(&sent.body);
    if (accept == nullptr) return;
    const Proposal& proposal = accept->proposal;
    const auto [known, fresh] = proposed.try_emplace(proposal.ballot, proposal.value);
    if (!fresh && known->second != proposal.value) broken = "a ballot has two values";
    bool wished = false;
    for (size_t place = 0; place < kProposers; ++place) {
      const size_t starts = proposers_.at(state.processes[kAcceptors + place]).starts;
      for (size_t start = 0; start <= starts; ++start) {
        wished = wished || proposal.value == wish(place, start);
      }
    }
    if (!wished) broken = "validity: a value is proposed that nobody wished";
  });
  if (!broken.empty()) return broken;
  if (const auto found = judged_.find(accepted); found != judged_.end()) return {};
  std::map<Ballot, std::pair<Bytes, size_t>> votes;
  std::optional<Bytes> chosen;
  accepted.for_each([&](Number message) {
    const Proposal& proposal = std::get<Accepted>(messages_.at(message).body).proposal;
    auto& [value, count] = votes[proposal.ballot];
    value = proposal.value;
    if (++count <= kAcceptors / 2) return;
    if (chosen && *chosen != value) broken = "agreement: two values are chosen";
    chosen = value;
  });
  if (!broken.empty()) return broken;
  Learner learner(acceptors());
  accepted.for_each([&](Number message) {
    const Sent& sent = messages_.at(message);
    learner.on(sent.from, std::get<Accepted>(sent.body));
  });
  if (learner.learned() != chosen) return "a learner believes in something that is not chosen";
  judged_[accepted] = chosen.has_value();
  return {};
}

std::string Search::describe(const State& before, Move move) const {
  const std::string who = name(NodeId{move.process + uint64_t{1}});
  switch (move.kind) {
    case Kind::begin:
      return who + " begins ballot " + std::to_string(move.what + 1);
    case Kind::sync:
      return who + ": its disk has everything";
    case Kind::crash:
      return who + " crashes and starts again from its disk";
    case Kind::deliver:
      break;
  }
  const Sent& sent = messages_.at(move.what);
  std::string line = who + " hears from " + name(sent.from) + ": " + text(sent.body);
  for (const Number message : effects_.at(question(before, move)).sent) {
    line += "; says: " + text(messages_.at(message).body);
  }
  return line;
}

void Search::tell(uint32_t place) {
  while (place >= starts_) {
    const auto& [from, move] = visited_.way(place);
    report_.trace.push_back(describe(visited_.at(from), move));
    place = from;
  }
  std::ranges::reverse(report_.trace);
}

}  // namespace

Report explore(const Scope& scope, const Limits& limits) { return Search(scope, limits).run(); }

}  // namespace quorate::explore::synod
