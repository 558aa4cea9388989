// consensus/replicated_log.h: the one door between a protocol and the house.
//
// A protocol is a pure function of its events: no clock, disk, socket, thread, lock or random
// source of its own behind this door. Raft, Multi-Paxos and ZAB fit (docs/TOUR.md). The
// runtime's whole contract: make writes durable in id order, release each message when its
// `after` is durable, apply up to `committed`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/index_ranges.h"
#include "base/types.h"
#include "consensus/members.h"

namespace quorate::consensus {

class Fingerprint;

using quorate::IndexRange;

// Who leads, totally ordered. Raft: (term, vote). Paxos: ballot. ZAB: epoch.
struct Ballot {
  uint64_t round = 0;
  NodeId node;
  auto operator<=>(const Ballot&) const = default;
};

enum class EntryKind : uint8_t { noop = 0, command = 1, members = 2 };

struct Entry {
  Index index;
  Ballot ballot;  // Raft: {term of creation, node 0}, kept for ever
  EntryKind kind = EntryKind::noop;
  ProposalId id;  // zero for entries no client waits for
  Bytes data;
  bool operator==(const Entry&) const = default;
};

// The prefix of the log up to and including `index` is represented by a snapshot or by the
// state machine's own store; `members` is the configuration in force there.
struct SnapshotMeta {
  Index index;
  Ballot ballot;
  Bytes members;  // encode_members()
  bool operator==(const SnapshotMeta&) const = default;
};

// What must survive a crash besides entries. `promised` and `committed` only grow.
struct HardState {
  Ballot promised;  // Raft: term+vote.  Paxos: promise.  ZAB: acceptedEpoch.
  Ballot joined;    // Raft, Paxos: unused.               ZAB: currentEpoch.
  Index committed;
  bool operator==(const HardState&) const = default;
};

// `head` is private to the protocol; `entries` is public, so nobody copies them. A message
// leaves after write `after` is durable. A message to oneself is how a replica waits for its own
// disk: there is no other disk callback.
struct Message {
  NodeId from;
  NodeId to;
  WriteId after;
  bool urgent = false;  // small and time-critical: must not queue behind bulk transfers
  Bytes head;
  std::vector<Entry> entries;
};

// ---- Events: everything the world can tell a replica.
struct Wake {};  // deadline() passed
struct Receive {
  Message message;
};
struct Propose {
  ProposalId id;
  EntryKind kind = EntryKind::command;
  Bytes data;
};
struct ReadBarrier {
  ReadId id;
};
struct TransferLead {
  NodeId to;  // zero: the most suitable voter
};
struct Fetched {  // answers Ready::fetch; empty: those entries are gone from the log
  std::vector<Entry> entries;
};
struct SnapshotTaken {       // the state machine durably covers the log up to `index`, or a little
  Index index;               // more is kept for slow peers: this prefix may be dropped
  uint64_t store_bytes = 0;  // what a snapshot would weigh about now; 0: unknown
};
struct SnapshotArrived {  // a peer's snapshot is whole, verified and durable on our disk
  NodeId from;
  SnapshotMeta meta;
};
struct SnapshotSent {  // answers Ready::snapshots; index: what was sent, if ok
  NodeId to;
  Index index;
  bool ok = false;
};
struct Disconnected {  // the connection to a peer broke: it may be dead (a hint, not a proof)
  NodeId peer;
};
struct Damaged {  // our disk no longer gives these entries back (docs/decisions/0013)
  std::vector<IndexRange> ranges;
};
struct StoreLost {};  // nor the state that stands for the prefix which the log has given back
using Event =
    std::variant<Wake, Receive, Propose, ReadBarrier, TransferLead, Fetched, SnapshotTaken,
                 SnapshotArrived, SnapshotSent, Disconnected, Damaged, StoreLost>;

// ---- Ready: everything a replica can ask of the world.
struct Write {  // made durable atomically, in id order; entries may leave holes (Paxos)
  WriteId id;
  std::optional<HardState> hard_state;
  std::optional<Index> truncate_from;    // first, drop [truncate_from, ...)
  std::optional<SnapshotMeta> snapshot;  // then replace the prefix (see `install`)
  // With `snapshot`: true when the state machine must be replaced by the snapshot that arrived,
  // and the whole log dropped unless it holds snapshot.index with the same ballot; false when
  // the state machine already covers the prefix and only log space is given back.
  bool install = false;
  // With `install`: entries behind snapshot.index stay, whatever the log held there. What an
  // acceptor has accepted it may not forget because others have decided what comes before (Paxos).
  bool keep_behind = false;
  std::vector<Entry> entries;  // then put; never at or below `committed`
  // Entries that our disk had lost, put back: exactly where one is damaged, with the same ballot,
  // at or below `committed` or not.
  std::vector<Entry> repairs;
};

enum class Refusal : uint8_t {  // surely not applied
  not_leader,                   // ask `leader_hint`
  busy,                         // too much is under way: later
  transferring,                 // leadership is being handed over: later
  not_ready,                    // membership: the leader has not committed in its own term yet
};
struct Refused {
  std::variant<ProposalId, ReadId> what;
  Refusal why = Refusal::not_leader;
  NodeId leader_hint;
};
struct ReadReady {  // serve once applied >= index
  ReadId id;
  Index index;
};
struct Ready {
  std::optional<Write> write;
  std::vector<Message> messages;
  Index committed;  // decided prefix: apply up to here, in order
  std::vector<ReadReady> reads;
  std::vector<Refused> refused;
  std::vector<NodeId> snapshots;    // stream a snapshot to these; answer with SnapshotSent
  std::optional<IndexRange> fetch;  // read old entries back for a slow peer; at most one open
};

enum class Role : uint8_t { follower, candidate, leader, learner };

// A picture for headers, metrics and people. Decisions are never made from it.
struct Status {
  Role role = Role::follower;
  NodeId leader;  // zero: none known
  Ballot ballot;  // Raft: current term
  Index committed;
  Index first;  // oldest entry still in the log; last + 1 when empty
  Index last;
  // The leader may be asked for reads and its commit index is trustworthy (own-term commit).
  bool established = false;
  uint64_t damaged = 0;  // entries of the log that must be fetched from others
  Index damaged_first;   // the first of them; zero: none
  Index damaged_last;
  bool store_lost = false;                         // the state is gone and a snapshot must come
  std::vector<std::pair<NodeId, Index>> progress;  // leader only: durable match of each peer
};

class ReplicatedLog {
 public:
  virtual ~ReplicatedLog() = default;
  virtual void step(Time now, Event event) = 0;  // never blocks, never fails
  virtual Ready take_ready() = 0;                // effects since the last call
  virtual Time deadline() const = 0;             // wake me no later than this; may be kNever

  virtual Status status() const = 0;
  virtual const Members& members() const = 0;  // the configuration in force
  // An entry still held in memory, or null: then it is in the write-ahead log, or gone.
  virtual const Entry* find(Index index) const = 0;
  // Ballots of entries never change (Raft, ZAB): then a committed entry of a later round
  // proves that every earlier-round proposal not yet seen will surely never be applied.
  virtual bool keeps_ballots() const = 0;
  virtual std::string describe() const = 0;   // one line for logs, traces, the lab
  virtual void check_invariants() const = 0;  // the simulator calls it after each step

  // For the exhaustive searcher. A copy that goes its own way from here on:
  virtual std::unique_ptr<ReplicatedLog> clone() const = 0;
  // Everything that any future output can depend on, and as little else as possible. Instants count
  // by their distance from `now`, write ids by their distance from `durable`, and all writes up to
  // that one as done. Left out is the random source: a searcher hands in Rng::least().
  virtual void fingerprint(Fingerprint& into, Time now, WriteId durable) const = 0;
};

}  // namespace quorate::consensus
