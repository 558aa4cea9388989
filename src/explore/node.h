// explore/node.h: one node of a searched cluster: the production replica, and the runtime around
// it in its plainest form, which keeps the door's contract (consensus/replicated_log.h).
//
// A node is a value: copied before each action, so that the state before it stays. Everything that
// the runtime owes the replica is here: writes become durable in order, messages wait for theirs,
// letters to oneself travel no network, a crash loses what was not durable.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consensus/factory.h"
#include "consensus/fingerprint.h"
#include "consensus/limits.h"
#include "explore/log_image.h"
#include "explore/packet.h"
#include "explore/scope.h"

namespace quorate::explore {

// The unit of simulated time is the smallest delay that a core knows. An election timeout is long
// enough to hold two heartbeats, and divides into ticks of slow and fast clocks.
inline constexpr Duration kUnit = consensus::kCommitNoticeDelay;
inline constexpr Duration kHeartbeat = 2 * kUnit;
inline constexpr Duration kElection = 6 * kUnit;
// Declared bound on the drift of clocks: in one tick of shared clocks a slow one advances by two
// units while a fast one advances by three, as far apart as the bound allows.
inline constexpr uint32_t kDriftPerMillion = 200'000;
inline constexpr uint64_t kTickUnits = 3;
inline constexpr uint64_t kSlowTickUnits = 2;

enum class Action : uint8_t {
  deliver,       // a packet
  wake,          // the deadline passed
  pass,          // time passes unnoticed: `number` units
  sync,          // the oldest write becomes durable
  crash,         // and starts again
  wipe,          // a crash that loses the disk; the node starts again and knows it
  propose,       // a command; `number`: its sequence
  change,        // members; `number`: its sequence
  read,          // `number`: its id
  transfer,      // to `peer`
  compact,       // the state machine covers the log up to `number`
  stream_fails,  // the snapshot on its way to `peer`
  disconnect,    // from `peer`
  turn,          // only the effects of earlier events are taken
};

struct Order {
  Action action = Action::wake;
  const Packet* packet = nullptr;
  uint64_t number = 0;
  NodeId peer;
  Bytes members;
  bool ends_turn = true;  // false: the effects are left for later
};

struct Effects {
  std::vector<Packet> packets;
  std::vector<consensus::ReadReady> reads;
  std::vector<ReadId> reads_refused;
  std::vector<ProposalId> refused;
  std::string violation;
};

class Node {
 public:
  Node(const Scope& scope, NodeId self, LogImage disk);
  Node(const Node& other);
  Node& operator=(const Node&) = delete;

  // A CHECK of the core that fails is thrown, see CheckFailed.
  void perform(const Order& order, Effects& effects);
  void fingerprint(consensus::Fingerprint& into) const;

  NodeId self() const { return self_; }
  Time now() const { return now_; }
  uint64_t life() const { return life_; }
  uint8_t untaken() const { return untaken_; }
  size_t pending_writes() const { return pending_.size(); }
  const consensus::ReplicatedLog& replica() const { return *replica_; }
  const LogImage& logical() const { return logical_; }
  const LogImage& durable() const { return durable_; }
  // What counts in a quorum as stored here: for one that lost its disk, what it had stored, until
  // it is admitted again (docs/decisions/0004).
  const LogImage& vouched() const { return ghost_ ? *ghost_ : durable_; }
  bool amnesiac() const { return amnesiac_; }
  const std::vector<NodeId>& streams() const { return streams_; }
  Index committed() const { return committed_; }

 private:
  struct PendingWrite {
    consensus::Write write;
    uint64_t chain = 0;  // of the snapshot that it installs
  };
  struct Arrived {
    Index index;
    uint64_t chain = 0;
  };

  void start();
  void step(consensus::Event event);
  void deliver(const Packet& packet, Effects& effects);
  void sync(Effects& effects);
  void take(Effects& effects);
  void take_write(consensus::Write write, Effects& effects);
  void take_message(consensus::Message message, Effects& effects);
  void send_snapshot(NodeId to, Effects& effects);
  void fetch(const consensus::IndexRange& range);
  void lose_disk();
  void check_admission();
  bool admits(const Bytes& members) const;

  const Scope* scope_;
  NodeId self_;
  std::unique_ptr<consensus::ReplicatedLog> replica_;
  Time now_{};
  uint64_t life_ = 0;
  uint64_t incarnation_ = 0;
  bool amnesiac_ = false;
  std::optional<LogImage> ghost_;
  uint8_t untaken_ = 0;  // events since the effects were last taken
  LogImage logical_;
  LogImage durable_;
  std::vector<PendingWrite> pending_;
  std::vector<consensus::Message> held_;  // wait for a write
  std::vector<NodeId> streams_;           // snapshots on their way from here
  std::vector<Arrived> arrived_;          // snapshots that may still be installed
  Index reported_;                        // as committed, in the effects taken so far
  Index committed_;                       // as the replica knows it
};

// Thrown by a failing CHECK while one of these lives: what the core notices itself is a finding of
// the search and not its end.
struct CheckFailed {
  std::string text;
};
class ChecksAreFindings {
 public:
  ChecksAreFindings();
  ~ChecksAreFindings();
  ChecksAreFindings(const ChecksAreFindings&) = delete;
  ChecksAreFindings& operator=(const ChecksAreFindings&) = delete;
};

}  // namespace quorate::explore
