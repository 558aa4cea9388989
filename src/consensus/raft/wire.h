// consensus/raft/wire.h: what Raft replicas say to each other, as bytes in Message::head.
//
// Heads are small and may be hostile: decode_head() reads within bounds, accepts no number that
// could overflow by counting on, and answers nothing for anything malformed. Invariant: `term` is
// always the sender's current term; a term asked for travels in the request itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::raft {

struct VoteRequest {
  bool before_vote = false;  // pre-vote: would you vote for me? (Ongaro's thesis, section 9.6)
  bool transfer = false;     // the leader asked for this election
  uint64_t asked_term = 0;
  uint64_t campaign = 0;  // echoed: tells the replies to one pre-vote from those to the next
  Index last;
  uint64_t last_term = 0;
};
struct VoteReply {
  bool before_vote = false;
  bool granted = false;
  uint64_t campaign = 0;
};
struct Append {
  Index previous;
  uint64_t previous_term = 0;
  Index committed;
};
struct AppendReply {
  bool accepted = false;
  Index index;  // accepted: durable and equal up to here; refused: `previous` of the request
  Index hint;   // refused: the newest position that may be equal, and its term
  uint64_t hint_term = 0;
};
struct Heartbeat {
  bool wants_reply = false;
  Index committed;  // with its term, so that only who holds that very entry believes it
  uint64_t committed_term = 0;
  uint64_t round = 0;  // newest read round
};
struct HeartbeatReply {
  uint64_t round = 0;
  Index last;
  Duration promise{};  // to vote for nobody else for so long, by the sender's clock; zero: none
};
struct TimeoutNow {};
// A letter to oneself: this write is durable.
struct Stored {
  WriteId write;
};

// Our disk lost these entries: who holds them? One with this position and term has one content
// wherever it is, so anyone may answer, whoever leads.
struct WantedRun {
  Index first;
  Index last;
  uint64_t term = 0;
};
struct RepairRequest {
  bool state_helps = false;       // a snapshot helps, should the first be in somebody's only
  bool store_lost = false;        // only a snapshot helps
  std::vector<WantedRun> wanted;  // in log order, at least one
};
// With those asked-for entries that are at hand.
struct RepairReply {
  Index asked;  // the first that was wanted, and its term
  uint64_t asked_term = 0;
  Index held;      // the last wanted entry that is in this log, intact or not; zero: none is
  Index snapshot;  // entries up to here are no longer kept, only the state they led to
};

using Body = std::variant<VoteRequest, VoteReply, Append, AppendReply, Heartbeat, HeartbeatReply,
                          TimeoutNow, Stored, RepairRequest, RepairReply>;
struct Head {
  uint64_t term = 0;
  uint64_t incarnation = 0;
  bool amnesiac = false;
  Body body;
};

Bytes encode_head(const Head& head);
std::optional<Head> decode_head(const Bytes& encoded);

// One line for people; for traces.
std::string describe_message(const Message& message);
// For searchers (fingerprint.cc): all of it, but write ids by their distance from `durable`.
void fingerprint_message(const Message& message, WriteId durable, Fingerprint& into);
// In one word, for scenarios and diagrams.
std::string_view kind_of(const Head& head);

}  // namespace quorate::consensus::raft
