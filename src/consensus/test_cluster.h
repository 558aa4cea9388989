// consensus/test_cluster.h: a few replicas, a network and disks, all moved by hand, for tests.
//
// Tests only. Keeps the runtime's contract in its plainest form and checks what must hold
// whatever the test does: the three guards of the disk, one leader for each term, the same entry
// at the same index everywhere, and every replica's own invariants after each step.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "consensus/factory.h"

namespace quorate::consensus::testing {

// The durable image of one replica's log.
struct TestDisk {
  LogShape shape = LogShape::prefix;
  HardState hard_state;
  SnapshotMeta snapshot;
  std::map<Index, Entry> entries;
  std::set<Index> damaged;  // of these: the content cannot be read any more
  WriteId last_write;

  void put(const Write& write);
  void put_entry(const Entry& entry, Index was_committed);
  void replace_prefix(const Write& write);
  Recovered recover(size_t tail_entries) const;
  const Entry* read(Index index) const;  // null: not there, or damaged
};

struct TestNode {
  NodeId id;
  std::unique_ptr<ReplicatedLog> replica;  // null while down
  TestDisk disk;
  uint64_t incarnation = 0;
  bool amnesiac = false;
  bool store_lost = false;   // its next start finds no state
  bool disk_stalls = false;  // writes wait in `unsynced` until sync()
  std::deque<Write> unsynced;
  std::vector<Message> held;  // wait for a write
  WriteId durable;
  Index committed;
  std::vector<Entry> applied;  // the state machine: everything from index 1
  std::vector<ReadReady> reads;
  std::vector<Refused> refused;
  std::vector<NodeId> snapshots;  // asked for and not yet answered
  size_t installs = 0;
  size_t fetches = 0;
};

struct TestOptions {
  size_t voters = 3;
  size_t learners = 0;
  bool pre_vote = true;
  bool check_quorum = true;
  bool lease_reads = false;
  uint32_t clock_drift_per_million = 1000;
  size_t tail_entries = 1'000'000;  // payloads given back at recovery
  uint64_t seed = 1;
  Protocol protocol = Protocol::raft;
};

class TestCluster {
 public:
  explicit TestCluster(TestOptions options = {});

  TestNode& node(uint64_t id) { return *nodes_.at(id - 1); }
  ReplicatedLog& replica(uint64_t id) { return *node(id).replica; }
  Status status(uint64_t id) { return replica(id).status(); }
  Time now() const { return now_; }
  Duration election_timeout() const { return std::chrono::milliseconds(1000); }
  Duration heartbeat_interval() const { return std::chrono::milliseconds(100); }

  // One event, and what follows from it on this node alone: messages wait in the network.
  void step(uint64_t id, Event event);
  void wake(uint64_t id) { step(id, Wake{}); }
  void sync(uint64_t id, size_t writes = SIZE_MAX);  // the oldest so many
  void settle();       // deliver until nothing moves and everybody knows what is committed
  bool deliver_one();  // the oldest message that may travel; false: none
  void advance(Duration duration);                    // wakes everybody when due, and settles
  void pass(Duration duration) { now_ += duration; }  // nobody notices until woken

  uint64_t elect();               // advances until somebody leads and is established
  void make_leader(uint64_t id);  // campaigns until it does; others must be able to vote for it
  uint64_t leader() const;        // of the highest term; 0: none
  ProposalId propose(uint64_t id, const std::string& text);
  void propose_members(uint64_t id, const Members& members);
  ReadId read(uint64_t id);

  void cut(uint64_t from, uint64_t to) { cut_.insert({from, to}); }
  void isolate(uint64_t id);
  void heal() { cut_.clear(); }
  void crash(uint64_t id);  // what was not durable is lost
  void restart(uint64_t id);
  void wipe_and_restart(uint64_t id);  // comes back without its data, as an amnesiac
  void compact(uint64_t id, uint64_t index);
  // Ruins an entry on the disk; a running replica learns of it only by notice().
  void rot(uint64_t id, uint64_t index);
  void notice(uint64_t id, uint64_t index) { step(id, Damaged{{{Index{index}, Index{index}}}}); }

  std::vector<std::string> texts(uint64_t id);  // commands applied, in order
  std::deque<Message>& network() { return network_; }
  const Members& founding() const { return founding_; }
  void answer_snapshots(bool automatic) { snapshots_automatic_ = automatic; }
  void send_snapshot(uint64_t from, NodeId to);
  // Sees every message as it is sent; false: the network loses it.
  std::function<bool(Message&)> filter;

 private:
  void deliver_all();
  void take(TestNode& node);
  void make_durable(TestNode& node, const Write& write);
  void release(TestNode& node);
  void apply(TestNode& node);
  void observe(TestNode& node);
  void start(TestNode& node);
  LogShape shape() const { return log_shape(options_.protocol); }

  TestOptions options_;
  Members founding_;
  Time now_{std::chrono::seconds(10)};
  std::vector<std::unique_ptr<TestNode>> nodes_;
  std::deque<Message> network_;
  std::set<std::pair<uint64_t, uint64_t>> cut_;
  std::map<Ballot, NodeId> leaders_;  // of each term (Raft), of each ballot (Paxos)
  std::vector<Entry> chosen_;
  uint64_t sequence_ = 0;
  uint64_t incarnations_ = 100;
  bool snapshots_automatic_ = true;
};

}  // namespace quorate::consensus::testing
