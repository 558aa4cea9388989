// sim/full/swarm.h: what kind of world a seed gets in a full simulation.
//
// Each class of faults is on in some seeds and off in others, each with a strength of its own
// (Groce et al., "FullSwarm testing", ISSTA 2012); so are the sizes, the settings of the nodes and
// what the clients do.
#pragma once

#include <string>

#include "base/rng.h"
#include "base/types.h"
#include "consensus/factory.h"
#include "sim/full/fault.h"
#include "world/sim/sim_world.h"

namespace quorate::sim::full {

inline constexpr uint64_t kMembersMax = 7;  // pairs of members are bits of one word

// How much may be damaged at once (sim/full/atlas.h).
enum class AtlasMode : uint8_t {
  none,          // nothing stored is ever damaged or lost
  availability,  // a quorum always holds every committed byte
};

struct FullSwarm {
  // ---- The cluster.
  consensus::Protocol protocol = consensus::Protocol::raft;
  uint64_t members = 3;
  Duration election_timeout = std::chrono::seconds(1);
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  bool pre_vote = true;
  uint64_t snapshot_count = 1000;
  uint64_t catch_up_entries = 100;
  uint64_t segment_bytes = uint64_t{64} << 10U;
  // ---- The machines.
  world::SimNodeOptions machine;
  world::LinkOptions link;
  world::NetworkOptions network;
  world::FileSystem file_system = world::FileSystem::adversarial;
  bool mixed_file_systems = false;  // each member another one
  AtlasMode atlas = AtlasMode::none;
  // ---- The clients.
  uint64_t clients = 3;
  Duration think = std::chrono::milliseconds(150);  // between an answer and the next request
  Duration patience = std::chrono::seconds(3);
  uint64_t keys = 8;
  uint64_t value_bytes_max = 32;
  uint64_t reads = 300'000;         // per million operations
  uint64_t serializable = 200'000;  // per million reads
  uint64_t transactions = 200'000;  // per million operations
  uint64_t deletes = 100'000;
  uint64_t compactions = 5'000;
  uint64_t strangers = 100'000;  // per million operations: another member than the last one
  uint64_t watchers = 0;
  uint64_t lease_holders = 0;
  int64_t lease_seconds_max = 4;
  // ---- The calamity.
  Duration duration = std::chrono::seconds(40);
  FaultSet faults;
  Duration fault_interval = std::chrono::seconds(2);  // on average
  uint64_t spells_max = 4;                            // in election timeouts
  Duration quiet_every{};  // 0: never. For a third of it nothing new goes wrong and nobody asks
  Duration calm_before{};  // before the first fault
  uint64_t drift_max = 0;  // parts per million, either way
};

// `members` 0: from the seed. Draws which classes of faults are on unless they are given.
FullSwarm draw_swarm(Rng& rng, uint64_t members, const FaultSet* faults);
// From a stream of its own: leases and watches change nothing else of a world.
void draw_followers(Rng& rng, FullSwarm& swarm);
std::string describe(const FullSwarm& swarm);

}  // namespace quorate::sim::full
