// node/running_node.h: the Node behind open_node(): identity, founding, peers, one shard.
//
// A member with an empty directory makes no replica before it knows what it is
// (node/founding.h). From then on the shard does the work, and this class answers for the whole:
// status, readiness, an orderly stop, and the one failure that ends everything.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "node/founding.h"
#include "node/identity.h"
#include "node/membership.h"
#include "node/node.h"
#include "node/peers.h"
#include "node/registers/host.h"
#include "node/shard.h"

namespace quorate::node {

// What open_node() found and made.
struct OpenedDirectory {
  std::unique_ptr<world::DirectoryLock> lock;
  Identity identity;
  uint64_t first_sequence = 1;
  std::unique_ptr<storage::Wal> wal;
  std::shared_ptr<machine::StateMachine> machine;
  std::optional<consensus::Recovered> recovered;  // empty: the log has nothing of the group
  std::optional<RegisterFile> registers;
};

consensus::Members initial_members(const std::vector<PeerConfig>& members);
// What recovery would give back if `write` were all that the log holds.
consensus::Recovered recovered_from(const consensus::Write& write);

struct NodeWorld {  // borrowed; all outlive the node
  world::Executor& executor;
  world::Disk& disk;
  world::Network& network;
};

class RunningNode : public Node, private Peers::Listener {
 public:
  RunningNode(NodeWorld world, MachineFactory make_machine, NodeConfig config, Rng rng,
              OpenedDirectory opened);

  void start() override;
  void stop(Duration patience, std::function<void()> done) override;
  void set_failure_handler(std::function<void(const Error&)> handler) override;
  void set_ready_handler(std::function<void()> handler) override;
  void set_removed_handler(std::function<void()> handler) override;

  void propose(Bytes command, Time deadline, OutcomeCallback done) override;
  void change_members(const MemberChange& change, Time deadline, OutcomeCallback done) override;
  void read_barrier(Time deadline, BarrierCallback done) override;
  void defragment(std::move_only_function<void(bool)> done) override;
  void ask_lease(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done) override;
  void query(const Bytes& request, machine::Reply& reply) const override;
  const machine::StateMachine& machine() const override { return group_->machine(); }
  void change_register(std::string name, RegisterChange change, Time deadline,
                       RegisterCallback done) override;
  NodeStatus status() const override;
  NodeId leader() const override { return group_->status().leader; }
  uint64_t round() const override { return group_->status().ballot.round; }
  bool is_learner() const override { return learner_; }
  void transfer_lead(NodeId to) override;

 private:
  struct Stopping {
    Time ends;
    std::function<void()> done;
  };

  void on_peer_connected(NodeId peer) override;
  void on_peer_disconnected(NodeId peer) override;
  bool on_peer_frame(NodeId peer, Frame& frame) override;
  bool speaks_ours(NodeId peer, const Hello& hello);

  Time after_drain(Time now);
  void decide_founding(Time now);
  void found();
  void become_amnesiac();
  void make_replica(consensus::Recovered recovered);
  LifeState life_state() const;
  void say_hello(NodeId peer);
  void tell_life_state();
  void notice_ready();
  void notice_admission();
  void save_identity_then(std::function<void()> then);
  void on_wal_durable(GroupId group, WriteId write);
  void fail_all(const Error& error);
  void continue_stop(Time now);
  bool takes_work() const { return !failed_ && !stopped_ && !removed_; }

  // running_node_members.cc
  void take_members_news();
  void follow_members();
  void introduce();
  void leave_cluster();
  bool is_lost() const;
  Time look_for_others(Time now);
  void heard_introduction(const Result<Bytes>& answer);
  const consensus::Members& known_members() const;
  std::vector<MemberView> member_views() const;

  // running_node_registers.cc
  void open_registers();
  void tell_acceptors(NodeId peer);
  bool take_register_frame(NodeId peer, const Bytes& payload);

  world::Executor& executor_;
  world::Disk& disk_;
  world::Network& network_;
  MachineFactory make_machine_;
  NodeConfig config_;
  Rng rng_;
  std::unique_ptr<world::DirectoryLock> lock_;
  Identity identity_;
  std::unique_ptr<storage::Wal> wal_;
  std::optional<consensus::Recovered> recovered_;
  std::optional<RegisterFile> register_file_;
  std::vector<NodeId> register_acceptors_;  // as founded or as told; empty: not known
  uint64_t first_sequence_ = 1;
  Peers peers_;
  Shard shard_;
  Group* group_ = nullptr;  // owned by the shard
  std::unique_ptr<RegisterHost> registers_;
  std::optional<Founding> founding_;
  std::optional<consensus::Write> founding_write_;  // on its way to the disk
  bool becoming_amnesiac_ = false;
  LifeState told_ = LifeState::fresh;
  Membership membership_;
  bool learner_ = false;
  bool removed_ = false;
  std::optional<Time> lost_since_;  // there is no leader, or no connection with it
  Time next_inquiry_{};
  bool inquiring_ = false;
  uint64_t foreign_cluster_ = 0;       // named in the log already
  std::set<NodeId> foreign_speakers_;  // connected peers whose log runs another protocol
  std::set<NodeId> told_foreign_;      // named in the log already
  Time started_at_{};
  std::optional<Index> ready_at_;  // replay is over when this is applied
  bool ready_ = false;
  bool started_ = false;
  bool failed_ = false;
  bool stopped_ = false;
  std::optional<Stopping> stopping_;
  std::function<void(const Error&)> failure_handler_;
  std::optional<Error> failure_;
  std::function<void()> ready_handler_;
  std::function<void()> removed_handler_;
  Lifeline lifeline_;
};

}  // namespace quorate::node
