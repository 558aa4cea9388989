// sim/full/fault.h: everything that can go wrong in a full simulation, by name.
//
// Each class is on or off in a run, drawn from the seed or chosen on the command line; what is on
// has a strength of its own (sim/full/swarm.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quorate::sim::full {

enum class Fault : uint8_t {
  // Processes and time.
  crash,         // the power of one machine goes
  kill,          // its process only: the system keeps what was written
  power_loss,    // all machines at once
  crash_step,    // the power goes at a chosen operation of the disk
  crash_loop,    // again as soon as it is back
  stop,          // an orderly stop
  pause,         // everything stands still (SIGSTOP)
  stage,         // the turn or one lane stands still
  slow_cpu,      // turns come late
  clock_drift,   // the monotonic clock runs at another speed
  clock_step,    // it jumps ahead
  clock_freeze,  // it stands still
  wall_clock,    // the wall clock does anything
  transfer,      // leadership is handed over
  wipe,          // a directory is lost
  clone,         // a directory is started as another member's
  // The network between members.
  split,         // two sides
  isolate,       // one member alone
  one_way,       // deaf or dumb
  bridge,        // two sides that share one member
  ring,          // each member sees its two neighbours
  chain,         // a ring with a gap
  star,          // everybody sees one member only
  random_graph,  // connected, and nothing else is known about it
  flapping,      // links come and go
  swizzle,       // links fall silent one by one and come back in another order
  half_open,     // a connection that only one side believes in
  reset,         // connections break in the middle of a frame
  corrupt,       // frames are damaged on their way
  loss,          // packets are lost
  loose,         // messages of the replicas are lost, doubled and late, connected or not
  bandwidth,     // links become narrow
  latency,       // links become slow, in steps
  client_cut,    // clients cannot reach some members
  // Disks.
  lost_write,   // a sector was never written
  misdirected,  // a sector was written to the wrong place
  duplicated,   // or to two places
  stale_read,   // a sector is read as it was
  bit_flip,     // a bit turns
  read_error,   // a sector cannot be read
  sync_error,   // a sync fails once
  no_space,     // the disk is full
  hang,         // the disk does not answer
  slow_disk,    // it takes a thousand times as long
  kinds
};
inline constexpr uint64_t kFaultKinds = static_cast<uint64_t>(Fault::kinds);

std::string_view name_of(Fault fault);

class FaultSet {
 public:
  bool has(Fault fault) const { return (bits_ & bit(fault)) != 0; }
  void set(Fault fault, bool on) { bits_ = on ? bits_ | bit(fault) : bits_ & ~bit(fault); }
  bool empty() const { return bits_ == 0; }
  static FaultSet all() { return FaultSet((uint64_t{1} << kFaultKinds) - 1); }
  FaultSet() = default;

 private:
  explicit FaultSet(uint64_t bits) : bits_(bits) {}
  static uint64_t bit(Fault fault) { return uint64_t{1} << static_cast<uint64_t>(fault); }
  uint64_t bits_ = 0;
};

// "all", "none", or names with commas between them; a name with a minus takes it away again
// ("all,-wipe").
Result<FaultSet> parse_faults(std::string_view text);
std::string to_text(const FaultSet& faults);

}  // namespace quorate::sim::full
