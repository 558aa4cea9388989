// consensus/paxos/progress.h: what a leader knows of one member's slots.
//
// Invariant: through < next, and `through` never shrinks while the member keeps its life and we
// our ballot; `beyond` lies behind `through`.
#pragma once

#include "base/index_ranges.h"
#include "base/ring.h"
#include "base/types.h"

namespace quorate::consensus::paxos {

enum class Flow : uint8_t {
  unknown,      // it has not said yet what it has
  replicating,  // many messages on the way, as far as the windows allow
  snapshot,     // slots it needs are gone: a snapshot is on its way
};

struct Sent {
  Index last;
  size_t bytes = 0;
};

struct Progress {
  NodeId id;
  Index through;       // decided or accepted at our ballot there, and durable: all up to here
  IndexRanges beyond;  // and these
  Index next;
  Flow flow = Flow::unknown;
  Ring<Sent> window;  // accepts not yet answered, oldest first
  size_t window_bytes = 0;
  Time resend_at{};         // nothing was answered for so long: believe the messages lost
  Duration resend_delay{};  // doubles while nothing helps
  Index committed_sent;
  bool awaits_commit = false;  // a client of that member waits for a commit it has not heard of

  bool streaming = false;  // a snapshot was asked for and SnapshotSent has not come
  Index pinned;            // the slots behind this are kept for it; zero: nothing is
  Time heard{};            // last reply at our ballot

  // Which life of the member answers (see Member::incarnation), and which one is admitted.
  bool known = false;
  bool amnesiac = false;
  uint64_t incarnation = 0;
  uint64_t admitted = 0;    // of the configuration in force; zero: the first life, whatever it is
  uint64_t life_round = 0;  // a reply to this read round proves that the life is not a past one

  uint64_t round = 0;     // newest read round answered
  bool promises = false;  // to promise nobody else for an election timeout after each answer

  // An amnesiac's word decides nothing, nor that of a life that was not admitted.
  bool counts() const { return known && !amnesiac && (admitted == 0 || admitted == incarnation); }
};

}  // namespace quorate::consensus::paxos
