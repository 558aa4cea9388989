// node/node.h: the runtime: one node, its replicas, its log, its machine, its peers.
//
// One thread (the executor's). At the end of every turn it drains what the replicas ask for:
// writes go to the log as one batch, messages leave when what they depend on is durable, decided
// entries are applied and their proposers answered. Works the same over the real world and the
// simulated one. The directory holds: identity (ids, incarnation), wal/, store/, snapshots/.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "consensus/factory.h"
#include "node/introduction.h"
#include "node/service.h"
#include "world/disk.h"
#include "world/executor.h"
#include "world/network.h"

namespace quorate::node {

struct PeerConfig {
  NodeId id;
  std::string name;
  std::vector<std::string> addresses;  // host:port for the network
  std::vector<std::string> urls;       // as configured, for people
};

enum class Start : uint8_t { new_cluster, existing_cluster };

struct NodeConfig {
  NodeId self;
  uint64_t cluster_id = 0;
  std::string name;   // of the member, and the token of its cluster: a directory that was made
  std::string token;  // under both is taken as it is, whatever the rest of the flags says
  GroupId group{1};
  consensus::Protocol protocol = consensus::Protocol::raft;
  // False: `protocol` is for a new cluster only; else what the directory, or the cluster that is
  // joined, was founded with.
  bool protocol_demanded = true;
  std::string directory;
  std::vector<PeerConfig> members;    // the initial set, self included; the log decides later
  std::vector<std::string> contacts;  // host:port of others, asked when nobody else is known
  Start start = Start::new_cluster;
  // Who was added to a running cluster: what a member of it said, from where its id is known.
  std::optional<Introduction> introduction;
  Duration election_timeout = std::chrono::seconds(1);
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  bool pre_vote = true;
  uint64_t snapshot_count = 10000;         // applied entries between log truncations
  uint64_t catch_up_entries = 5000;        // kept behind the truncation for slow peers
  uint64_t snapshot_bytes_per_second = 0;  // sent to peers; 0: as limits.h has it
  // How fast log and store are read again, in the background, to find what has rotted; 0: never.
  uint64_t scrub_bytes_per_second = 0;
  Duration scrub_pause = std::chrono::minutes(10);  // between two passes: rot takes weeks
  uint64_t wal_segment_bytes = uint64_t{64} << 20U;
  size_t learners_max = 1;
  uint64_t incarnation = 0;  // a fresh random number; used only when the directory is new
};

using MachineFactory = std::function<Result<std::unique_ptr<machine::StateMachine>>(
    const std::string& store_directory)>;

class Node : public Service {
 public:
  // Connects to peers and starts to take part. Before this nothing moves.
  virtual void start() = 0;
  // Hands leadership over if it has it, refuses new work, then calls done; at the latest after
  // `patience`. The node may be destroyed then.
  virtual void stop(Duration patience, std::function<void()> done) = 0;
  // The world failed (disk) or the data contradicts itself: called once, the node does nothing
  // more. The text says what to do.
  virtual void set_failure_handler(std::function<void(const Error&)> handler) = 0;
  virtual void set_ready_handler(std::function<void()> handler) = 0;  // a quorum is up: once
  // The others have removed this member for good: called once. It proposes nothing more and
  // should be stopped soon; what it was asked has been answered by then.
  virtual void set_removed_handler(std::function<void()> handler) = 0;
};

// The protocol of a running cluster is not what `config` demands: a sentence for the operator. Else
// `config` has it now.
Result<void> adopt_protocol(NodeConfig& config, const std::string& found, const std::string& whose);

// Looks whose data the directory holds and makes `config` speak for that member. False: nobody's
// yet. An error: somebody else's. Blocking.
Result<bool> adopt_stored_identity(world::Disk& disk, NodeConfig& config);

// Blocking: locks the directory, recovers the log and the machine. Errors are sentences for the
// operator.
Result<std::unique_ptr<Node>> open_node(world::Executor& executor, world::Disk& disk,
                                        world::Network& network, MachineFactory make_machine,
                                        NodeConfig config, Rng rng);

}  // namespace quorate::node
