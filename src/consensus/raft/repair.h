// consensus/raft/repair.h: what a replica knows of entries its disk has lost, and what it does
// about them (docs/decisions/0013).
//
// Damage takes content, never identity: position and term of every entry of the log stay known.
// Invariant: everything in `filling` is in `holes`; a hole is closed only when the write that
// fills it is durable.
#pragma once

#include <optional>
#include <vector>

#include "base/index_ranges.h"
#include "consensus/raft/wire.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::raft {

struct Repair {
  IndexRanges holes;           // not whole on our disk
  IndexRanges filling;         // of these: their content is in a write on its way
  std::vector<Index> members;  // holes that are configurations, in order
  bool store_lost = false;     // what stands for the log's prefix is gone: a snapshot must come
  struct Fill {
    WriteId write;
    IndexRanges indexes;
    bool store = false;  // and the state
  };
  std::vector<Fill> fills;

  // Asking: one member after the other, the leader first.
  Time ask_at = kNever;
  Duration ask_delay{};
  size_t turn = 0;
  bool asked_all = false;  // in vain, since something was lost or came back

  // In office: who has said in this term that it does not hold the first hole.
  Index absent_index;
  uint64_t absent_term = 0;
  std::vector<NodeId> absent;

  // Answering: what waits for our disk, and to whom our snapshot is on its way.
  struct Request {
    NodeId from;
    RepairRequest request;
  };
  std::vector<Request> requests;
  std::optional<IndexRange> fetch;
  std::vector<NodeId> lending;

  // The end of what is known to be equal to the leader's log, for the acknowledgement that
  // becomes due when a hole is closed.
  Index agreed;
  uint64_t agreed_term = 0;
};

}  // namespace quorate::consensus::raft
