// consensus/paxos/replica.h: one Multi-Paxos replica: proposer, acceptor and learner in one.
//
// After Lamport, "Paxos Made Simple" (2001; PMS below), van Renesse and Altinbuken, "Paxos Made
// Moderately Complex" (2015; PMMC), and Chandra, Griesemer and Redstone, "Paxos Made Live" (2007;
// PML). Pure: state changes only in step() and take_ready(). The files beside it hold one topic
// each: election (who proposes), prepare (phase 1), accept (phase 2, the proposer), learn (phase 2,
// acceptor and learner), reads, members, snapshot, repair.
// Invariants: see check_invariants(); above all, no message speaks of a promise or an acceptance
// that our disk could still forget, except a proposer's own proposals, which it does not count.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutant.h"
#include "base/ring.h"
#include "base/rng.h"
#include "consensus/factory.h"
#include "consensus/limits.h"
#include "consensus/paxos/progress.h"
#include "consensus/paxos/slots.h"
#include "consensus/paxos/wire.h"
#include "consensus/read_rounds.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::paxos {

// No slot is proposed in yet, as far as we have heard.
inline constexpr Index kNoBase{UINT64_MAX};
// Whoever waits for a snapshot gives itself (in phase 1) or others so many election timeouts more.
inline constexpr int kSnapshotPatience = 3;

class Replica final : public ReplicatedLog {
 public:
  Replica(const Config& config, Recovered recovered, Time now, Rng rng);

  void step(Time now, Event event) override;
  Ready take_ready() override;
  Time deadline() const override;
  Status status() const override;
  const Members& members() const override { return configurations_.back().members; }
  const Entry* find(Index index) const override { return slots_.find(index); }
  bool keeps_ballots() const override { return false; }
  std::string describe() const override;
  void check_invariants() const override;
  std::unique_ptr<ReplicatedLog> clone() const override;
  void fingerprint(Fingerprint& into, Time now, WriteId durable) const override;

 private:
  // Leader: phase 1 is complete for a quorum of the configuration in force, or (widening_) was
  // until that configuration changed.
  enum class Stage : uint8_t { follower, asking, preparing, leader };
  struct Configuration {  // decided, and in force for the slots behind `index`
    Index index;
    Members members;
    Bytes encoded;
  };
  // Phase 1 with one acceptor.
  struct Promiser {
    NodeId id;
    uint64_t incarnation = 0;
    Index next;  // what was accepted before this slot is known
    Index committed;
    bool complete = false;
    std::vector<LostSlot> lost;
  };
  struct WriteOnItsWay {
    WriteId id;
    Index through;       // through_ is durable up to here once it is; zero: says nothing
    IndexRange entries;  // in it
    Time asked;
  };
  enum class Purpose : uint8_t { nothing, loading, filling, promising, repairing };
  struct WaitingPrepare {  // for our disk
    NodeId from;
    Index first;
    Ballot ballot;
  };
  struct WaitingFetch {
    NodeId from;
    Fetch fetch;
  };
  struct Fill {  // lost content in a write on its way
    WriteId write;
    IndexRanges slots;
    bool store = false;  // and the state
  };
  // What our disk has lost, and what is done about it (docs/decisions/0013).
  struct Repair {
    IndexRanges lost;            // accepted slots that are not whole on our disk
    IndexRanges filling;         // of these: their content is in a write on its way
    std::vector<Index> members;  // decided configurations among them, in order
    bool store_lost = false;
    std::vector<Fill> fills;
    Time ask_at = kNever;
    Duration ask_delay{};
    size_t turn = 0;
    bool asked_all = false;  // in vain, since something was lost or came back
  };

  // replica.cc: events and effects.
  void recover(Recovered& recovered);
  void on(Wake);
  void on(Receive& event);
  void on(Propose& event);
  void on(const ReadBarrier& event);
  void on(const TransferLead& event);
  void on(Fetched& event);
  void on(const SnapshotTaken& event);
  void on(const SnapshotArrived& event);
  void on(const SnapshotSent& event);
  void on(const Disconnected& event);
  void on(const Damaged& event);
  void on(const StoreLost& event);
  void send(NodeId to, Body body, WriteId after, std::vector<Entry> entries = {});
  WriteId upcoming_write();      // the id of the write being collected, which there now will be
  WriteId newest_write() const;  // everything said or done so far is durable once it is
  void promise(const Ballot& ballot);
  void put(Entry entry);
  void seal_write(Ready& ready);
  void on_body(Message& message, const Head& head, const Stored& letter);
  void commit_to(Index index);
  void refuse(std::variant<ProposalId, ReadId> what, Refusal why);
  bool loading() const { return load_through_.value != 0; }
  bool find_unloaded();
  void ask_fetch(Ready& ready);
  void take_loaded(std::vector<Entry>& entries);

  // election.cc: who proposes.
  void on_body(Message& message, const Head& head, const Ask& ask);
  void on_body(Message& message, const Head& head, const AskReply& reply);
  void on_body(Message& message, const Head& head, const TimeoutNow&);
  void draw_timeout();
  Duration patience() const;
  Duration loyalty() const;
  Duration deference() const;
  bool may_campaign() const;
  bool disk_hangs() const;
  bool stranger(NodeId id) const;
  bool still_bound_by_promise() const;
  bool loyal(bool only_asked) const;
  bool ignores(NodeId proposer, bool only_asked) const;
  bool admitted(NodeId from, const Head& head) const;
  void start_election();
  void count_favour(NodeId voter);
  void back_off();
  void follow(const Ballot& ballot, NodeId leader);
  void step_down();
  void lose_office();
  void check_quorum();
  void give_way_if_disk_hangs();
  void give_way_if_lost_slots_are_needed();
  bool suits_as_heir(const Progress& peer) const;
  NodeId best_heir() const;
  void transfer_when_ready();
  void hand_over(NodeId heir);

  // prepare.cc: phase 1.
  void campaign(bool transfer);
  void ask_promises(bool transfer);
  void on_body(Message& message, const Head& head, const Prepare& prepare);
  void on_body(Message& message, const Head& head, const Promise& reply);
  bool answer_prepare(const WaitingPrepare& asked, std::vector<Entry> read);
  void refused(NodeId from);
  void learn_page(Promiser& promiser, const Promise& page, std::vector<Entry>& entries);
  Promiser* promiser(NodeId id);
  std::vector<NodeId> complete_promisers() const;
  bool of_admitted_life(const Promiser& one) const;
  bool promised_by_quorum() const;
  bool lost_values_known() const;
  void prepared();
  void become_leader();
  void propose_found();
  bool stop_is_void(Index index, const Ballot& ballot) const;
  void widen();

  // accept.cc: phase 2, the proposer.
  void on_body(Message& message, const Head& head, const Accepted& reply);
  void on_body(Message& message, const Head& head, const HeartbeatReply& reply);
  bool may_propose() const;
  void propose(EntryKind kind, ProposalId id, Bytes data);
  void propose_at(Index index, Entry entry);
  void propose_waiting();
  void accepted(Progress& peer, Index through, const std::vector<IndexRange>& beyond);
  void resend_if_lost(Progress& peer);
  void restart_from(Progress& peer, Index next);
  void fill(Progress& peer);
  bool room_in_window(const Progress& peer) const;
  void gather(Progress& peer, std::vector<Entry>& entries, size_t& bytes) const;
  void note_sent(Progress& peer, Index last, size_t bytes);
  void note_commit_news();
  void notice_commits();
  bool unaware_of_commit(const Progress& peer) const;
  void send_heartbeat(Progress& peer, bool wants_reply);
  void heartbeat_all();
  void advance_commit();
  bool chosen(Index index) const;
  uint64_t quorum_value(uint64_t (*value)(const Progress&)) const;
  const Entry* fetched(Index index) const;

  // learn.cc: phase 2, acceptor and learner.
  void on_body(Message& message, const Head& head, const Accept& accept);
  void on_body(Message& message, const Head& head, const Heartbeat& heartbeat);
  bool heard_leader(NodeId from, const Ballot& ballot, Index base);
  void begin_following(Index base);
  void extend_through();
  void learn_commit(Index announced);
  bool take(Entry& entry, const Accept& accept);
  void learn(Entry entry);
  std::vector<IndexRange> accepted_beyond() const;
  void send_accepted();

  // reads.cc
  void start_reads();
  void confirm_reads();
  void refuse_reads();
  void renew_lease();

  // members.cc
  bool note_reply(NodeId from, const Head& head, Progress*& peer);
  void begin_life(Progress& peer, const Head& head);
  void readmit(const Progress& peer);
  void propose_members(Propose& event);
  void push_configuration(Index index, const Bytes& encoded);
  void configuration_changed();
  void leave_office_when_established();
  const Configuration& configuration_at(Index index) const;
  bool change_pending() const { return stop_ || widening_; }
  void recall_own_life();
  Progress* progress_of(NodeId id);
  void track_members();
  void find_places();

  // snapshot.cc
  void need_snapshot(Progress& peer);
  bool snapshot_is_cheaper(const Progress& peer) const;
  void lend_snapshot(NodeId to);
  bool comes_already(Index through) const;
  void install(const SnapshotMeta& meta);
  Index droppable(Index wanted) const;

  // repair.cc
  void on_body(Message& message, const Head& head, const Fetch& request);
  void on_body(Message& message, const Head& head, const Decided& reply);
  bool damaged() const { return !repair_.lost.empty() || repair_.store_lost; }
  bool whole(Index index) const {
    return repair_.lost.empty() || !repair_.lost.contains(index) || repair_.filling.contains(index);
  }
  Index reportable() const;
  bool knows_members() const { return repair_.members.empty(); }
  Index newest_configuration() const;
  void recover_damage(Recovered& recovered);
  void lose(IndexRange range);
  bool being_written(Index index) const;
  void refill(const Entry& entry);
  bool restore(Entry& entry);
  bool learn_lost(Entry& entry);
  void propose_over(NodeId from, const Fetch& request);
  void overwritten(Index index);
  void covered(Index through);
  void repairs_stored(WriteId write);
  void ask_for_repair();
  std::vector<IndexRange> wanted_slots() const;
  NodeId next_to_ask();
  bool answer_fetch(const WaitingFetch& asked, std::vector<Entry> read);
  std::vector<LostSlot> lost_open_slots() const;

  // fingerprint.cc
  void fingerprint_writes(Fingerprint& into, Time now, WriteId durable) const;
  void fingerprint_repair(Fingerprint& into, Time now, WriteId durable) const;
  void fingerprint_election(Fingerprint& into, Time now) const;
  void fingerprint_office(Fingerprint& into, Time now) const;
  void fingerprint_peer(Fingerprint& into, Time now, const Progress& peer) const;

  // invariants.cc
  void check_slots() const;
  void check_office() const;

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
  Ballot promised_;
  Index committed_;
  Slots slots_;
  std::vector<Configuration> configurations_;  // decided: of the snapshot, then each behind it
  bool amnesiac_ = false;

  // Writes.
  bool writing_ = false;
  Write upcoming_;
  WriteId last_write_;     // newest handed out
  WriteId durable_write_;  // newest we have a letter for
  WriteId promise_write_;  // carries the newest promise
  HardState written_state_;
  uint64_t snapshot_bytes_ = 0;  // what one would weigh; 0: unknown
  Ring<WriteOnItsWay> writes_;

  // Open slots whose content must come from our disk before we take part again.
  Index loaded_;
  Index load_through_;
  std::vector<Entry> loads_;
  Purpose fetch_purpose_ = Purpose::nothing;  // of the one request that is open
  IndexRange fetch_range_;
  NodeId fetch_for_;
  std::vector<WaitingPrepare> waiting_prepares_;
  std::vector<WaitingFetch> waiting_fetches_;
  std::vector<NodeId> lending_;  // our snapshot is on its way to these, though we do not lead

  // Elections.
  Stage stage_ = Stage::follower;
  uint64_t seen_round_ = 0;  // the highest anybody has spoken of
  NodeId leader_;
  Time leader_heard_{};
  bool leader_gone_ = false;  // the connection to it broke and it has not spoken since
  Time election_deadline_{};
  Duration drawn_timeout_{};
  uint64_t campaign_ = 0;
  std::vector<NodeId> favours_;
  size_t lost_campaigns_ = 0;  // since a leader was heard
  Time promise_ends_{};        // with leases: we promise nobody before, ourselves included

  // Acceptor: what we hold at the ballot we follow (or lead with), for acknowledgements.
  Ballot following_;
  Index base_;             // it proposes from here on
  Index through_;          // decided, or accepted at that ballot: all up to here
  Index highest_;          // the highest slot accepted at it
  Index durable_through_;  // of `through_`: durable
  bool acknowledge_ = false;

  // Phase 1.
  std::vector<Promiser> promisers_;
  std::vector<NodeId> refused_;
  std::map<Index, Entry> found_;  // the values of the highest ballots that promisers have accepted
  bool widening_ = false;         // phase 1 goes on with the voters of a new configuration

  // Leader.
  std::vector<Progress> peers_;          // sorted by id, ourselves included
  std::vector<size_t> voter_places_;     // in peers_
  std::vector<size_t> outgoing_places_;  // in peers_
  mutable std::vector<uint64_t> scratch_;
  Index proposed_;      // the last slot proposed in
  Index stop_;          // a configuration proposed and not decided: nothing is proposed behind it
  Index office_start_;  // our first own no-op; zero: not yet proposed
  Time in_office_since_{};
  bool established_ = false;
  Ring<Propose> waiting_proposals_;  // until the configuration is certain
  size_t undecided_bytes_ = 0;       // proposed or waiting
  Time heartbeat_at_{};
  bool heartbeat_due_ = false;
  Time commit_notice_at_ = kNever;  // who has not heard of the newest commit is told then
  NodeId transfer_to_;
  bool transfer_asked_ = false;
  Time transfer_deadline_{};
  ReadRounds reads_;
  std::vector<Entry> fetched_;

  Repair repair_;
  Index reported_;  // Ready::committed so far

  uint64_t dropped_ = 0;
  Ready ready_;
};

}  // namespace quorate::consensus::paxos
