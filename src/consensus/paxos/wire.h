// consensus/paxos/wire.h: what Multi-Paxos replicas say to each other, as bytes in Message::head.
//
// Heads are small and may be hostile: decode_head() reads within bounds, accepts no number that
// could overflow by counting on, and answers nothing for anything malformed. Invariant: `promised`
// is always the sender's highest promise; who prepares or leads has promised its own ballot, so
// there it is the ballot that the message speaks for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/index_ranges.h"
#include "base/types.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::paxos {

// Would you promise me a ballot? Asked first, so that nobody's promise is spent on a proposer that
// could not win, nor taken from a leader that is well.
struct Ask {
  uint64_t campaign = 0;  // echoed: tells the answers to one question from those to the next
};
struct AskReply {
  bool granted = false;
  uint64_t campaign = 0;
};

// A slot that was accepted and whose content the disk has lost (docs/decisions/0013).
struct LostSlot {
  Index index;
  Ballot ballot;
};
// Phase 1a for all slots from `from` on; asked again for the next page.
struct Prepare {
  bool transfer = false;  // the leader asked for it
  Index from;
};
// Phase 1b: with what was accepted in the slots from `from` to `through`.
struct Promise {
  bool granted = false;
  bool complete = false;  // nothing was accepted behind `through`
  Index from;
  Index through;
  Index committed;  // slots up to here are decided
  Index first;      // slots before this one are kept no longer, only the state they led to
  std::vector<LostSlot> lost;
};
// Phase 2a: with entries below `base` that are decided and entries from there on which are
// proposed at our ballot.
struct Accept {
  Index base;       // our ballot proposes from here on
  Index stop;       // where the configuration stands by which the slots behind it are decided
  Index committed;  // decided; below `base` whatever their ballot, from there on at ours
};
// Phase 2b: decided or accepted at your ballot, and durable.
struct Accepted {
  Index through;                   // all slots up to here
  std::vector<IndexRange> beyond;  // and these; between them something is missing
};
struct Heartbeat {
  bool wants_reply = false;
  Index base;
  Index committed;
  uint64_t round = 0;  // newest read round
};
struct HeartbeatReply {
  uint64_t round = 0;
  Index through;       // as in Accepted
  Duration promise{};  // to promise nobody else for so long, by the sender's clock; zero: none
};
struct TimeoutNow {};
// A letter to oneself: this write is durable.
struct Stored {
  WriteId write;
};
// Our disk lost decided entries, or the state before them: who can give them back?
struct Fetch {
  bool state_helps = false;        // a snapshot does as well
  bool store_lost = false;         // only a snapshot helps
  std::vector<IndexRange> wanted;  // in order, at least one
};
// With those that are at hand.
struct Decided {
  Index asked;     // the first that was wanted
  Index snapshot;  // a snapshot of the slots up to here comes; zero: none does
};

using Body = std::variant<Ask, AskReply, Prepare, Promise, Accept, Accepted, Heartbeat,
                          HeartbeatReply, TimeoutNow, Stored, Fetch, Decided>;
struct Head {
  Ballot promised;
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

}  // namespace quorate::consensus::paxos
