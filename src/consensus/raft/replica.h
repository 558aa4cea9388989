// consensus/raft/replica.h: one Raft replica (Ongaro and Ousterhout, "In Search of an
// Understandable Consensus Algorithm", 2014; section numbers of "thesis" are Ongaro's, 2014).
//
// Pure: state changes only in step() and take_ready(). The files beside it hold one topic each:
// election, replication (leader), acceptance (follower), reads, members, snapshot, repair.
// Invariants: see check_invariants(); above all, no message speaks of a term, vote or entry that
// our disk could still forget, except a leader's own entries, which it does not count itself.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutant.h"
#include "base/ring.h"
#include "base/rng.h"
#include "consensus/factory.h"
#include "consensus/limits.h"
#include "consensus/log_tail.h"
#include "consensus/raft/progress.h"
#include "consensus/raft/repair.h"
#include "consensus/raft/wire.h"
#include "consensus/read_rounds.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::raft {

class Replica final : public ReplicatedLog {
 public:
  Replica(const Config& config, Recovered recovered, Time now, Rng rng);

  void step(Time now, Event event) override;
  Ready take_ready() override;
  Time deadline() const override;
  Status status() const override;
  const Members& members() const override {
    const bool late = QRT_MUTANT(M02) || (QRT_MUTANT(M03) && leaves_joint());
    return late ? configuration_at(committed_).members : configurations_.back().members;
  }
  const Entry* find(Index index) const override { return log_.find(index); }
  bool keeps_ballots() const override { return true; }
  std::string describe() const override;
  void check_invariants() const override;
  std::unique_ptr<ReplicatedLog> clone() const override;
  void fingerprint(Fingerprint& into, Time now, WriteId durable) const override;

  bool amnesiac() const { return amnesiac_; }
  uint64_t dropped() const { return dropped_; }  // messages that were malformed or out of place

 private:
  enum class Stage : uint8_t { follower, asking, candidate, leader };  // asking: pre-vote
  struct Configuration {
    Index index;
    Members members;
    Bytes encoded;
  };
  struct WriteOnItsWay {
    WriteId id;
    Index last;  // our log up to here is durable once it is
    Time asked;
  };

  // replica.cc: events and effects.
  void on(Wake);
  void on(Receive& event);
  void on(Propose& event);
  void propose_members(Propose& event);
  void on(const ReadBarrier& event);
  void on(const TransferLead& event);
  void on(Fetched& event);
  void on(const SnapshotTaken& event);
  void on(const SnapshotArrived& event);
  void on(const SnapshotSent& event);
  void on(const Disconnected& event);
  void on(const Damaged& event);
  void on(const StoreLost& event);
  void send(NodeId to, const Body& body, WriteId after, std::vector<Entry> entries = {});
  WriteId upcoming_write();  // the id of the write being collected, which there now will be
  void promise_changed();
  void put(const Entry& entry);
  void seal_write(Ready& ready);
  void on_stored(const Stored& letter);
  void commit_to(Index index);
  void refuse(std::variant<ProposalId, ReadId> what, Refusal why);

  // election.cc
  void on_body(Message& message, const Head& head, const VoteRequest& request);
  void on_body(Message& message, const Head& head, const VoteReply& reply);
  void on_body(Message& message, const Head& head, const TimeoutNow&);
  void draw_timeout();
  Duration patience() const;
  Duration loyalty() const;  // the least patience: for so long a leader is not helped out of office
  bool may_campaign() const;
  bool disk_hangs() const;
  bool stranger(NodeId id) const;
  bool still_bound_by_promise() const;
  bool loyal(bool before_vote) const;
  bool up_to_date(const VoteRequest& request) const;
  void start_election();
  void ask_for_votes(bool before_vote, bool transfer);
  void campaign(bool transfer);
  void count_vote(NodeId voter);
  void become_follower(uint64_t term, NodeId leader);
  void become_leader();
  void lose_office();
  void check_quorum();
  void give_way_if_disk_hangs();
  bool suits_as_heir(const Progress& peer) const;
  NodeId best_heir() const;
  void transfer_when_ready();

  // replication.cc: the leader's side
  void on_body(Message& message, const Head& head, const AppendReply& reply);
  void on_body(Message& message, const Head& head, const HeartbeatReply& reply);
  void append_own(EntryKind kind, ProposalId id, Bytes data);
  void accepted(Progress& peer, Index match);
  void rejected(Progress& peer, const AppendReply& reply);
  void probe_from(Progress& peer, Index next);
  void resend_if_lost(Progress& peer, Index last_there);
  void fill(Progress& peer);
  bool room_in_window(const Progress& peer) const;
  void gather(const Progress& peer, std::vector<Entry>& entries, size_t& bytes) const;
  void note_sent(Progress& peer, Index last, size_t bytes);
  void note_commit_news();
  void notice_commits();
  bool unaware_of_commit(const Progress& peer) const;
  void send_heartbeat(Progress& peer, bool wants_reply);
  void heartbeat_all();
  void advance_commit();
  uint64_t quorum_value(uint64_t (*value)(const Progress&)) const;
  void ask_fetch(Ready& ready);
  const Entry* fetched(Index index) const;

  // acceptance.cc: the follower's side
  void on_body(Message& message, const Head& head, const Append& append);
  void on_body(Message& message, const Head& head, const Heartbeat& heartbeat);
  void on_body(Message& message, const Head& head, const Stored& letter);
  void heard_leader(NodeId from, uint64_t term);
  void accept(Message& message, const Append& append);
  void refuse_append(NodeId to, const Append& append);
  void truncate_from(Index index);
  WriteId write_covering(Index index);
  void send_acknowledgement();

  // reads.cc
  void start_reads();
  void confirm_reads();
  void refuse_reads();
  void renew_lease();

  // members.cc
  bool note_reply(NodeId from, const Head& head, Progress*& peer);
  void begin_life(Progress& peer, const Head& head);
  void readmit(const Progress& peer);
  void push_configuration(Index index, Bytes encoded);
  void configuration_changed();
  const Configuration& configuration_at(Index index) const;
  bool change_pending() const { return configurations_.back().index > committed_; }
  bool leaves_joint() const {
    return change_pending() && configuration_at(committed_).members.joint();
  }
  void leave_joint_when_certain();
  void leave_office_when_removed();
  void recall_own_life();
  Progress* progress_of(NodeId id);
  void track_members();
  void find_places(const Members& current);

  // snapshot.cc
  void need_snapshot(Progress& peer);
  bool snapshot_is_cheaper(const Progress& peer) const;
  void install(const SnapshotMeta& meta);
  void install_prefix(const SnapshotMeta& meta);
  Index droppable(Index wanted) const;

  // fingerprint.cc
  void fingerprint_writes(Fingerprint& into, Time now, WriteId durable) const;
  void fingerprint_repair(Fingerprint& into, Time now, WriteId durable) const;
  void fingerprint_election(Fingerprint& into, Time now) const;
  void fingerprint_office(Fingerprint& into, Time now) const;
  void fingerprint_peer(Fingerprint& into, Time now, size_t place) const;

  // repair.cc
  void on_body(Message& message, const Head& head, const RepairRequest& request);
  void on_body(Message& message, const Head& head, const RepairReply& reply);
  void recover_damage(Recovered& recovered);
  bool damaged() const { return !repair_.holes.empty() || repair_.store_lost; }
  // The log up to here is whole on our disk, as far as its entries have been stored at all.
  Index intact() const;
  Index reportable() const;
  bool knows_members() const { return repair_.members.empty(); }
  void lose(IndexRange range);
  bool fill_hole(Entry& entry);
  void insert_configuration(Index index, const Bytes& encoded);
  void repairs_stored(WriteId write);
  bool wants_state() const;
  bool covers_damage(Index through) const;
  void cover_damage(Index through);
  void drop_damage(Index through);
  void truncate_damage(Index index);
  void ask_for_repair();
  std::vector<WantedRun> wanted_runs() const;
  NodeId next_to_ask();
  bool state_helps() const;
  std::optional<IndexRange> answer_repair(NodeId to, const RepairRequest& request);
  void send_repair(NodeId to, const RepairRequest& request, std::vector<Entry> entries);
  void lend_snapshot(NodeId to);
  void serve_repairs(Ready& ready);
  bool take_fetched_repairs(Fetched& event);
  void note_absent(const Message& message, const Head& head, const RepairReply& reply);

  // invariants.cc
  void check_damage() const;
  void check_log() const;
  void check_progress() const;

  const NodeId self_;
  const uint64_t incarnation_;
  const Duration election_timeout_;
  const Duration heartbeat_interval_;
  const bool pre_vote_;
  const bool check_quorum_;
  const bool lease_reads_;
  const size_t append_entries_max_;
  const size_t inflight_messages_max_;
  Rng rng_;
  Time now_;

  // What the disk knows or is being told.
  uint64_t term_ = 0;
  NodeId vote_;
  Index committed_;
  LogTail log_;
  std::vector<Configuration> configurations_;  // of the snapshot, then each in the log
  bool amnesiac_ = false;

  // Writes.
  bool writing_ = false;
  Write upcoming_;
  WriteId last_write_;     // newest handed out
  WriteId durable_write_;  // newest we have a letter for
  WriteId promise_write_;  // carries the newest change of term or vote
  HardState written_state_;
  Index written_last_;           // end of the log in the writes handed out
  Index durable_;                // our log is durable up to here
  uint64_t snapshot_bytes_ = 0;  // what one would weigh; 0: unknown
  Ring<WriteOnItsWay> writes_;

  // Elections.
  Stage stage_ = Stage::follower;
  NodeId leader_;
  Time leader_heard_{};
  bool leader_gone_ = false;  // the connection to it broke and it has not spoken since
  Time election_deadline_{};
  Duration drawn_timeout_{};
  uint64_t campaign_ = 0;
  std::vector<NodeId> votes_;
  bool voter_ = false;   // whether we are one in the configuration in force
  Time promise_ends_{};  // with leases: we vote for nobody before, ourselves included

  // Follower: one acknowledgement for all appends of a turn.
  bool acknowledge_ = false;
  Index acknowledged_;

  // Leader.
  std::vector<Progress> peers_;            // sorted by id, ourselves included
  std::vector<size_t> voter_places_;       // in peers_
  std::vector<size_t> outgoing_places_;    // in peers_
  mutable std::vector<uint64_t> scratch_;  // for quorum_value()
  Index office_start_;                     // the no-op of our term
  Time in_office_since_{};
  bool established_ = false;
  size_t uncommitted_bytes_ = 0;
  Time heartbeat_at_{};
  bool heartbeat_due_ = false;
  Time commit_notice_at_ = kNever;  // who has not heard of the newest commit is told then
  NodeId transfer_to_;
  bool transfer_asked_ = false;
  Time transfer_deadline_{};
  ReadRounds reads_;
  std::optional<IndexRange> fetch_;
  NodeId fetch_turn_;        // served last; the next in order comes first
  bool fetch_open_ = false;  // asked for and not answered, whoever it was for
  std::vector<Entry> fetched_;

  Repair repair_;
  Index reported_;  // Ready::committed so far

  uint64_t dropped_ = 0;
  Ready ready_;
};

}  // namespace quorate::consensus::raft
