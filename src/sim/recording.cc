#include "sim/recording.h"

#include "sim/text.h"

namespace quorate::sim {

void Recording::did(int64_t time, std::string line) {
  ScriptLine recorded;
  recorded.from = time;
  recorded.words = words_of(line);
  lines_.push_back(std::move(recorded));
}

Script script_of(const Recording& recording, const Swarm& world, uint64_t seed, int64_t until) {
  Script script;
  script.name = "seed " + std::to_string(seed);
  script.world = world;
  script.world.restarts = false;
  script.world.disconnect_hints = false;
  script.first_seed = seed;
  script.seeds = 1;
  script.until = until;
  script.lines = recording.lines();
  return script;
}

}  // namespace quorate::sim
