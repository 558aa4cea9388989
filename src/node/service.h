// node/service.h: what a front may ask of a node. One thread: that of the node's executor.
//
// Writes end in exactly one of three ways, and the difference is kept all the way to the client:
// applied (with the reply), refused (surely not applied), unknown (may or may not happen, now or
// later). Reads name how fresh they must be.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/histogram.h"
#include "base/types.h"
#include "consensus/replicated_log.h"
#include "machine/state_machine.h"
#include "node/lease_ask.h"
#include "node/member_change.h"
#include "node/registers/ask.h"

namespace quorate::node {

enum class RefusedWhy : uint8_t {
  no_leader,          // none known for the whole wait
  leader_changed,     // the term moved on before it could be decided; surely not applied
  too_many_requests,  // overload: a limit of limits.h was reached
  too_large,          // command over the limit
  stopping,
  timed_out,  // reads only: no side effects, so no doubt
  // Changes of membership only, as the leader found them.
  member_exists,
  urls_exist,
  member_not_found,
  not_learner,
  too_many_learners,
  learner_not_ready,
  no_voter_left
};

struct Applied {
  Index index;
  machine::Reply reply;
};
struct RefusedOutcome {
  RefusedWhy why = RefusedWhy::no_leader;
};
struct Unknown {};  // the wait ended first
using Outcome = std::variant<Applied, RefusedOutcome, Unknown>;
using OutcomeCallback = std::move_only_function<void(Outcome)>;
using LeaseOutcome = std::variant<LeaseLife, RefusedOutcome>;
using LeaseCallback = std::move_only_function<void(LeaseOutcome)>;
using BarrierCallback = std::move_only_function<void(std::optional<RefusedWhy>)>;

struct MemberView {
  NodeId id;
  std::vector<std::string> peer_addresses;  // URLs as configured
  std::string name;                         // of founders; see MemberAbout
  bool learner = false;                     // and not on its way to become a voter
  bool voter = false;                       // counts in decisions now
  // This node has had a connection with it since then, without a break; empty: it has none. Of
  // itself: since it started.
  std::optional<Time> connected_since;
};

struct PeerTraffic {  // since the start
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t frames_unsent = 0;  // not connected, or the peer's queue was full
};

struct NodeStatus {
  NodeId self;
  GroupId group;
  uint64_t cluster_id = 0;
  std::string_view protocol;  // of its log
  consensus::Status consensus;
  Index applied;
  std::vector<MemberView> members;  // as decided and applied here, sorted by id
  uint64_t store_bytes = 0;
  uint64_t leader_changes = 0;
  uint64_t proposals_committed = 0;
  uint64_t proposals_pending = 0;
  uint64_t proposals_failed = 0;
  uint64_t wal_syncs = 0;
  uint64_t wal_bytes = 0;
  DiskTimes wal_sync_times;
  DiskTimes store_write_times;  // from the batch to the row store
  uint64_t applies_slow = 0;    // portions that took longer than kSlowApply
  uint64_t reads_failed = 0;    // those that had to know what is newest
  uint64_t reads_asked_again = 0;
  uint64_t leases_expired = 0;  // while this node led
  bool installing_snapshot = false;
  std::map<NodeId, PeerTraffic> peer_traffic;
  uint64_t log_entries_damaged = 0;   // found lost since the start, by whomever
  uint64_t log_entries_repaired = 0;  // got back from others
  uint64_t stores_lost = 0;           // found damaged and replaced by a peer's snapshot
  uint64_t scrubbed_bytes = 0;        // of log and store
  bool ready = false;                 // a leader is known and start-up replay is over
};

class Service {
 public:
  virtual ~Service() = default;
  // Replicates a command; on a follower it is handed to the leader once. `done` is called
  // exactly once, never from within this call, at the latest when `deadline` has passed.
  virtual void propose(Bytes command, Time deadline, OutcomeCallback done) = 0;
  // Changes who belongs to the cluster; handed to the leader like a command. Applied: the new
  // configuration is in force alone, here too. One change is made after the other.
  virtual void change_members(const MemberChange& change, Time deadline, OutcomeCallback done) = 0;
  // `done(nullopt)`: this node has applied everything that was acknowledged anywhere before the
  // call, so a query made inside the callback is linearizable.
  virtual void read_barrier(Time deadline, BarrierCallback done) = 0;
  // Renews a lease, or looks how much is left of it. Answered by a leader that was confirmed
  // after the call; inside the callback of a look this node's machine is no older than that.
  virtual void ask_lease(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done) = 0;
  // Reads or changes a register, which needs a majority of the founding members and no leader.
  // `done` is called exactly once, never from within this call, unless this node stops.
  virtual void change_register(std::string name, RegisterChange change, Time deadline,
                               RegisterCallback done) = 0;
  // The local state now: serializable by itself, linearizable inside a barrier's callback.
  virtual void query(const Bytes& request, machine::Reply& reply) const = 0;
  virtual const machine::StateMachine& machine() const = 0;
  virtual NodeStatus status() const = 0;
  virtual NodeId leader() const = 0;    // zero: none known. Cheap.
  virtual uint64_t round() const = 0;   // raft term for response headers. Cheap.
  virtual bool is_learner() const = 0;  // not a voter, nor to become one by itself. Cheap.
  // Has the local store give back the room of what is gone. `done` is called exactly once, never
  // from within this call, unless this node stops; false: it could not be done.
  virtual void defragment(std::move_only_function<void(bool)> done) = 0;
  // Asks for it; leader() shows when it has happened. Zero: to the most suitable voter.
  virtual void transfer_lead(NodeId to) = 0;
};

}  // namespace quorate::node
