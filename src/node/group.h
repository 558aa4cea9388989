// node/group.h: one replicated log on this node: its replica and all that serves it.
//
// Events reach the replica at once; what it asks for is carried out by drain(), at the end of
// the turn: writes to the log in id order, messages out when their `after` is durable, letters
// to itself back in, decided entries to the machine, answers to whoever waits.
//
// Invariant: a message never leaves, and a letter is never delivered, before its write is
// durable; nothing beyond `committed` is applied.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "consensus/replicated_log.h"
#include "node/applier.h"
#include "node/lease_asks.h"
#include "node/lease_clock.h"
#include "node/lifeline.h"
#include "node/log_trim.h"
#include "node/node.h"
#include "node/outbound.h"
#include "node/proposals.h"
#include "node/read_gate.h"
#include "node/snapshot_receiver.h"
#include "node/snapshot_sender.h"
#include "node/store_directory.h"
#include "storage/wal/wal.h"

namespace quorate::node {

struct GroupWorld {  // borrowed; all outlive the group
  world::Executor& executor;
  world::Disk& disk;
  Outbound& outbound;
  storage::Wal& wal;
  const MachineFactory& make_machine;
  std::function<void(const Error&)> failed;  // the world failed: the node stops
  std::function<void()> work_came;           // a drain is needed at the end of this turn
};

struct GroupOptions {
  GroupId group;
  NodeId self;
  uint64_t first_sequence = 1;
  uint64_t end_sequence = UINT64_MAX;
  uint64_t snapshot_count = 10000;
  uint64_t catch_up_entries = 5000;
  uint64_t snapshot_bytes_per_second = 0;  // 0: no limit
  uint64_t scrub_bytes_per_second = 0;     // 0: the store is not read again
  Duration scrub_pause = std::chrono::minutes(10);
  size_t learners_max = 1;
  Duration lease_extension = std::chrono::seconds(1);  // at a change of leader
};

class Group : private Proposals::Door,
              private ReadGate::Door,
              private LeaseAsks::Door,
              private LeaseClock::Door,
              private Applier::Listener,
              private SnapshotSender::Owner,
              private SnapshotReceiver::Owner {
 public:
  Group(GroupOptions options, GroupWorld world, StoreDirectory directory,
        std::shared_ptr<machine::StateMachine> machine);
  ~Group() override = default;

  // Until then only local reads work. `durable`: the last write the log already holds.
  void start_replica(std::unique_ptr<consensus::ReplicatedLog> replica, WriteId durable);
  // The log's disk no longer gives these entries back.
  void on_log_damaged(std::vector<IndexRange> ranges);
  bool has_replica() const { return replica_ != nullptr; }

  void propose(Bytes command, Time deadline, OutcomeCallback done);
  void change_members(const MemberChange& change, Time deadline, OutcomeCallback done);
  void read_barrier(Time deadline, BarrierCallback done);
  void defragment(std::move_only_function<void(bool)> done);
  void ask_lease(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done);
  void transfer_lead(NodeId to);

  // False: this frame may not come from that peer.
  bool on_frame(NodeId peer, Frame& frame);
  void on_connected(NodeId peer);
  void on_disconnected(NodeId peer);
  void on_durable(WriteId write);

  // Carries out all that is asked for. True: more is left, another turn is needed.
  bool drain(Time now);
  void on_time(Time now);
  Time deadline() const;
  bool appended();  // since the last call

  void refuse_new_work();  // stopping
  void abandon();          // stopped: everything is answered now
  void leave();            // this node was removed: what asked for that is answered

  const consensus::Status& status() const { return status_; }  // as of the last drain
  const consensus::Members* members() const;  // in force; null before the replica is made
  const machine::StateMachine& machine() const { return *machine_; }
  Index applied() const { return applier_.applied(); }
  // The configuration as decided and applied, and the newest index of which that is known.
  const consensus::Members& decided_members() const { return decided_members_; }
  Index decided_at() const { return decided_at_; }
  bool members_changed() { return std::exchange(members_changed_, false); }  // of either kind
  size_t proposals_pending() const { return proposals_.pending(); }
  uint64_t proposals_failed() const { return proposals_.failed(); }
  void add_to(NodeStatus& status) const;  // what it has counted
  uint64_t leader_changes() const { return leader_changes_; }
  uint64_t stores_lost() const { return stores_lost_; }
  uint64_t store_bytes_scrubbed() const { return scrubbed_; }

 private:
  struct Install {
    WriteId after;
    consensus::SnapshotMeta meta;
    bool running = false;
  };

  // What the parts ask for.
  void propose_here(ProposalId id, const Bytes& command) override;
  std::optional<ForwardRefusal> change_here(ProposalId id, const Bytes& change) override;
  bool forward(NodeId leader, const Forward& forward) override;
  void barrier_here(ReadId id) override;
  bool ask_leader(NodeId leader, ReadId id) override;
  void answer_peer(NodeId peer, ReadId theirs, std::optional<Index> index) override;
  void ask_lease_clock(LeaseAsk ask) override;
  bool send_lease_ask(NodeId leader, const LeaseAsk& ask) override;
  Time lease_now() const override { return world_.executor.now(); }
  std::optional<Index> propose_own(Bytes command) override;
  bool waits_for(ProposalId id) const override { return proposals_.waits_for(id); }
  void on_entry(const consensus::Entry& entry) override;
  void on_reply(ProposalId id, Index index, machine::Reply reply) override;
  void on_round(uint64_t round) override;
  void on_log_read() override { work_came(); }
  void on_apply_failed(const Error& error) override;
  void on_snapshot_sent(NodeId to, Index index, bool ok) override;
  std::shared_ptr<machine::StateMachine> machine_to_send() override { return machine_; }
  Index log_first() const override { return status_.first; }
  bool wants_snapshot(const consensus::SnapshotMeta& meta) const override;
  void on_snapshot_whole(NodeId from, const consensus::SnapshotMeta& meta) override;

  void step(consensus::Event event);
  LeaderView leader_view() const;
  void use_machine(std::shared_ptr<machine::StateMachine> machine);
  void take_lease_ask(NodeId from, LeaseAsk ask);
  void answer_lease_ask(NodeId to, const LeaseAsk& ask, std::optional<LeaseState> instead);
  void hand_over_work(Time now);
  void take_forwards(const LeaderView& view);
  bool take_ready(Time now);
  void append(consensus::Write write);
  void route_refusal(Time now, const consensus::Refused& refused);
  void send_message(const consensus::Message& message, Bytes frame);
  void send_messages(const std::vector<consensus::Message>& messages);
  void fetch(consensus::IndexRange range);
  bool release_held();
  bool apply(Applier::Budget& budget);
  void give_log_back(Time now);
  void give_damage_back();
  void lose_store(const Error& error);
  void arm_scrub(Time now);
  void scrub_store();
  void on_scrubbed(const Result<uint64_t>& bytes);
  void settle(Time now);
  void plan_chores(Time now);
  void do_chores();
  void start_install();
  void on_installed(const Result<std::shared_ptr<machine::StateMachine>>& machine);
  void discard_arrived();
  bool take_forward(NodeId peer, Forward& forward);
  std::optional<ForwardRefusal> take_forwarded(const LeaderView& view, Forward& forward);
  void promote(Time now);
  void plan_promotion(Time now);
  void set_decided(const Bytes& encoded, Index index);
  void work_came();
  void fail_all(const Error& error);

  GroupOptions options_;
  GroupWorld world_;
  StoreDirectory directory_;
  std::shared_ptr<machine::StateMachine> machine_;
  std::unique_ptr<consensus::ReplicatedLog> replica_;
  consensus::Status status_;
  WriteId durable_;
  std::multimap<WriteId, consensus::Message> held_;  // by `after`, each in order of emission
  Proposals proposals_;
  ReadGate gate_;
  LeaseAsks lease_asks_;
  LeaseClock lease_clock_;
  size_t lease_asks_held_ = 0;  // wait for the leadership to be confirmed
  Applier applier_;
  LogTrim trim_;
  SnapshotSender sender_;
  SnapshotReceiver receiver_;
  std::vector<std::pair<NodeId, Forward>> forwards_;  // taken this turn
  std::map<ProposalId, uint64_t> forwarded_rounds_;   // handed to the replica in this pass
  std::optional<consensus::SnapshotMeta> arrived_;    // the replica has not decided on it yet
  std::optional<Install> install_;
  consensus::Members decided_members_;
  Index decided_at_;
  bool members_changed_ = false;
  bool promotion_wanted_ = false;  // by a learner of the decided configuration
  Time promotion_at_ = kNever;
  Promotion promotion_;
  NodeId last_leader_;
  uint64_t leader_changes_ = 0;
  uint64_t stores_lost_ = 0;
  std::string scrub_place_;
  Time scrub_at_ = kNever;
  Time chores_at_ = kNever;
  bool scrubbing_ = false;
  uint64_t scrubbed_ = 0;
  Index covered_;  // the replica was told that the store stands for damage up to here
  bool dirty_ = false;
  Time drained_at_;  // the turn that is under way, or the last one
  bool appended_ = false;
  bool failed_ = false;
  bool stopping_ = false;
  Lifeline lifeline_;
};

}  // namespace quorate::node
