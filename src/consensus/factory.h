// consensus/factory.h: the only place that knows all protocols by name.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/rng.h"
#include "consensus/limits.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus {

enum class Protocol : uint8_t { raft, multi_paxos };
inline constexpr Protocol kProtocols[] = {Protocol::raft, Protocol::multi_paxos};

std::optional<Protocol> protocol_named(std::string_view name);
std::string_view name_of(Protocol protocol);  // as people and data directories write it
std::string protocol_names();                 // all of them, for messages: "raft or ..."

// What a protocol writes. The store takes both (docs/decisions/0025); whoever watches it in tests
// holds a protocol to its shape.
enum class LogShape : uint8_t {
  prefix,  // entries follow each other; the end may be cut off and written anew
  slots,   // any slot behind the decided ones may be filled, in any order, and again by later
           // ballots
};
LogShape log_shape(Protocol protocol);
// Whether two entries are the same decision: in slots the ballot is that of the last acceptance,
// which differs between members.
bool same_decision(LogShape shape, const Entry& one, const Entry& other);

struct Config {
  NodeId self;
  // A value that no earlier life of this member's data directory had (see Member::incarnation).
  uint64_t incarnation = 0;
  // This member lost its data: it must not vote or be counted until it is re-admitted
  // (docs/decisions/0004). Known by the runtime from its peers before the replica is made.
  bool amnesiac = false;
  Duration election_timeout = std::chrono::seconds(1);
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  bool pre_vote = true;
  bool check_quorum = true;
  // A leader may answer reads without a round while a majority has promised not to vote for
  // anyone else (thesis, section 6.4.1). Safe only as long as every member's clock runs within
  // `clock_drift_per_million` of true time, also while suspended; hence off by default. The
  // promise also means that a broken connection to the leader does not hasten an election.
  bool lease_reads = false;
  uint32_t clock_drift_per_million = 1000;
  // Smaller only where tests want many messages and full windows.
  size_t append_entries_max = kAppendEntriesMax;
  size_t inflight_messages_max = kInflightMessagesMax;
};

std::unique_ptr<ReplicatedLog> make_replica(Protocol protocol, const Config& config,
                                            Recovered recovered, Time now, Rng rng);

// The write that founds a log on a member that has never had one: the first entry (index 1,
// round 1) is the initial configuration, the same on every founder, and already committed.
Write founding_write(Protocol protocol, const Members& members);
// The same for a log that begins behind a state which came from elsewhere: entry `behind` is taken
// to be decided and part of that state, on every founder.
Write founding_write_behind(Protocol protocol, const Members& members, Index behind);

// What a message says, for people.
std::string describe(Protocol protocol, const Message& message);
// For searchers: all that its receiver can learn from it (see ReplicatedLog::fingerprint).
void fingerprint(Protocol protocol, const Message& message, WriteId durable, Fingerprint& into);
// What it is, in one word ("append", "vote"): for scenarios that hold back messages of a kind, and
// for diagrams. "message" when it cannot be read.
std::string_view message_kind(Protocol protocol, const Message& message);

}  // namespace quorate::consensus
