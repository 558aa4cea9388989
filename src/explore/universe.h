// explore/universe.h: every node state, packet and history that a search has met, each once.
//
// A state of the whole cluster is then a handful of small numbers, and what an event does to a
// node in a given state is worked out by the production core once and looked up ever after: the
// number of states of single nodes is far smaller than that of their combinations. This rests on
// fingerprints telling apart whatever behaves differently; `verify_every` makes the universe test
// that on the nodes it meets.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "explore/flat_index.h"
#include "explore/history.h"
#include "explore/node.h"
#include "explore/scope.h"

namespace quorate::explore {

// What happens to one node: an action and its argument in 32 bits.
struct Code {
  Action action = Action::wake;
  bool ends_turn = true;
  uint32_t argument = 0;

  static constexpr uint32_t kArgumentBits = 27;
  uint32_t packed() const {
    return static_cast<uint32_t>(action) << 28U | uint32_t{ends_turn} << kArgumentBits | argument;
  }
};

struct Outcome {
  static constexpr uint8_t kLeads = 1;     // the node leads a term it did not lead before
  static constexpr uint8_t kCommits = 2;   // its committed position grew
  static constexpr uint8_t kWrites = 4;    // its log changed
  static constexpr uint8_t kAnswers = 8;   // reads were answered or refused
  static constexpr uint8_t kRefuses = 16;  // a proposal was refused
  static constexpr uint8_t kBroken = 32;   // a rule of its own was broken

  uint32_t next = 0;  // the node's state afterwards
  uint32_t first_packet = 0;
  uint16_t packets = 0;
  uint8_t flags = 0;
  uint32_t detail = 0;  // of answers or of the broken rule
};
struct Answers {
  std::vector<consensus::ReadReady> reads;
  std::vector<ReadId> refused;
};

// What the search asks of a node state all the time.
struct Summary {
  bool leads = false;
  bool armed = false;  // a deadline may pass
  bool streams = false;
  bool amnesiac = false;
  uint8_t pending_writes = 0;
  uint8_t untaken = 0;
  uint8_t life = 0;
  uint64_t term = 0;
  Index committed;
  Index snapshot;
};

class Universe {
 public:
  explicit Universe(const Scope& scope, uint64_t verify_every = 0);

  const Scope& scope() const { return scope_; }
  size_t renamings() const { return renamings_.size(); }

  uint32_t found(NodeId id, const LogImage& disk);
  const Outcome& perform(uint32_t node, Code code);
  // Configurations that a leader in this state may be asked for, as arguments of Action::change
  // without the sequence.
  const std::vector<uint32_t>& targets(uint32_t node);
  static uint32_t change_argument(uint64_t sequence, uint32_t members) {
    return static_cast<uint32_t>(sequence) << 22U | members;
  }

  const Node& node(uint32_t id) const { return *nodes_[id].node; }
  const Summary& summary(uint32_t id) const { return nodes_[id].summary; }
  const Packet& packet(uint32_t id) const { return packets_[id]; }
  uint32_t packet_of(const Outcome& outcome, size_t place) const {
    return sent_[outcome.first_packet + place];
  }
  const Answers& answers(const Outcome& outcome) const { return answers_[outcome.detail]; }
  const std::string& broken(const Outcome& outcome) const { return broken_[outcome.detail]; }
  const Bytes& members(uint32_t id) const { return members_[id]; }

  uint32_t intern(const History& history);
  const History& history(uint32_t id) const { return histories_[id]; }

  // One print for each renaming.
  const Print* node_prints(uint32_t id) const { return &node_prints_[id * renamings_.size()]; }
  const Print* packet_prints(uint32_t id) const { return &packet_prints_[id * renamings_.size()]; }
  const Print* history_prints(uint32_t id) const {
    return &history_prints_[id * renamings_.size()];
  }

  size_t node_count() const { return nodes_.size(); }
  size_t packet_count() const { return packets_.size(); }
  size_t history_count() const { return histories_.size(); }
  uint64_t core_steps() const { return core_steps_; }
  uint64_t verified() const { return verified_; }

 private:
  struct NodeRecord {
    std::unique_ptr<Node> node;
    Summary summary;
    uint32_t targets = UINT32_MAX;
  };

  Order order_of(Code code) const;
  Outcome work_out(uint32_t node, Code code);
  uint32_t intern(std::unique_ptr<Node> node);
  uint32_t intern(Packet packet);
  uint32_t intern(const Bytes& members);
  Summary summarize(const Node& node) const;
  template <class Thing>
  void print_all(const Thing& thing, std::vector<Print>& prints);
  void verify(const Node& one, const Node& other);
  Order random_order(NodeId self);

  const Scope scope_;
  std::vector<consensus::Renaming> renamings_;  // the first renames nobody
  std::deque<NodeRecord> nodes_;
  std::vector<Print> node_prints_;
  FlatIndex node_index_;
  std::deque<Packet> packets_;
  std::vector<Print> packet_prints_;
  FlatIndex packet_index_;
  std::deque<History> histories_;
  std::vector<Print> history_prints_;
  FlatIndex history_index_;
  std::vector<Bytes> members_;
  std::vector<std::vector<uint32_t>> targets_;  // by members id
  std::deque<Outcome> outcomes_;
  FlatIndex outcome_index_;
  std::vector<uint32_t> sent_;
  std::vector<Answers> answers_;
  std::vector<std::string> broken_;
  uint64_t core_steps_ = 0;
  uint64_t verify_every_ = 0;
  uint64_t met_again_ = 0;
  uint64_t verified_ = 0;
  Rng rng_{1};  // of the verification only
};

}  // namespace quorate::explore
