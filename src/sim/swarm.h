// sim/swarm.h: what kind of world a seed gets.
//
// Each fault class is on in some seeds and off in others, each with a strength of its own: a mix
// of everything at once hides bugs that need a quiet world with one nasty habit (Groce et al.,
// "Swarm testing", ISSTA 2012). All times are nanoseconds of simulated time.
#pragma once

#include <cstdint>
#include <string>

#include "base/rng.h"

namespace quorate::sim {

inline constexpr int64_t kMicrosecond = 1'000;
inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1'000'000'000;
// Pairs of nodes are bits of one word (sim/cluster.h).
inline constexpr uint64_t kNodesMax = 7;

struct NetworkQuality {
  int64_t latency_min = kMillisecond;
  int64_t latency_max = 5 * kMillisecond;
  uint64_t loss = 0;       // per million messages
  uint64_t duplicate = 0;  // per million messages
  uint64_t copies_max = 2;
  uint64_t late = 0;  // per million messages: these come up to late_max later
  int64_t late_max = 0;
};

struct Swarm {
  uint64_t nodes = 3;
  uint64_t spares = 0;  // nodes that may become members
  int64_t duration = 20 * kSecond;
  int64_t election_timeout = kSecond;
  int64_t heartbeat_interval = 100 * kMillisecond;
  int64_t start_spread = 30 * kMillisecond;  // the first starts of members lie so far apart
  bool pre_vote = true;
  bool check_quorum = true;
  bool lease_reads = false;    // drift_max is the bound that the members are told
  bool mixed_options = false;  // each start of a member draws those two for itself
  uint64_t append_entries_max = 4096;
  uint64_t inflight_messages_max = 256;
  NetworkQuality network;
  int64_t disk_min = 50 * kMicrosecond;
  int64_t disk_max = 2 * kMillisecond;
  uint64_t drift_max = 0;  // parts per million, either way
  uint64_t batching = 0;   // per million steps: what follows joins the same turn
  int64_t turn_max = 200 * kMicrosecond;
  int64_t apply_delay_max = 0;
  int64_t persist_interval = 500 * kMillisecond;
  uint64_t snapshot_threshold = 1000;  // applied and durable entries before space is given back
  uint64_t snapshot_keep = 0;          // entries kept behind that for slow peers
  uint64_t tail_bytes = uint64_t{1} << 20U;  // of entries handed back by recovery
  int64_t client_interval = 50 * kMillisecond;
  uint64_t reads = 200'000;      // per million client actions
  uint64_t strangers = 100'000;  // per million client actions: sent to any node
  uint64_t payload_max = 64;
  uint64_t burst_max = 1;
  int64_t fault_interval = 2 * kSecond;
  bool restarts = true;  // a crashed node comes back by itself; scripts bring it back themselves
  bool crashes = false;
  bool power_losses = false;
  bool fuses = false;  // crash at a chosen step of the node or of its disk
  bool pauses = false;
  bool crash_loops = false;
  bool partitions = false;
  bool shapes = false;       // rings, chains, stars, random connected graphs
  bool flapping = false;     // links that come and go about as fast as elections
  bool swizzles = false;     // members fall away one by one and come back in another order
  bool client_cuts = false;  // clients cannot reach a member that its peers reach
  bool storms = false;       // the network becomes bad for a while
  bool slow_disks = false;
  bool stalls = false;       // the disk or the state machine of a node stands still
  bool clock_jumps = false;  // forward, as after a suspended machine; no leases are safe from it
  bool rests = false;        // long pauses between two faults
  bool wipes = false;
  bool rots = false;        // entries of durable logs become unreadable...
  uint64_t rot_copies = 1;  // ...as long as so many others can still give them back
  bool store_losses = false;
  bool transfers = false;
  bool member_changes = false;
  bool disconnect_hints = false;
};

// `nodes` 0: from the seed, mostly 3 and 5.
Swarm draw_swarm(Rng& rng, uint64_t nodes);
std::string describe(const Swarm& swarm);

}  // namespace quorate::sim
