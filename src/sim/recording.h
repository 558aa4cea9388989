// sim/recording.h: a random run written down as a scenario.
#pragma once

#include <utility>
#include <vector>

#include "sim/observer.h"
#include "sim/script.h"

namespace quorate::sim {

class Recording final : public Recorder {
 public:
  void did(int64_t time, std::string line) override;
  const std::vector<ScriptLine>& lines() const { return lines_; }

 private:
  std::vector<ScriptLine> lines_;
};

// The scenario that plays the run of `seed` again: its world without its nemesis, its clients or
// anything else that acts by itself, and every action at its time. `until`: when the healing
// began, or the run ended.
Script script_of(const Recording& recording, const Swarm& world, uint64_t seed, int64_t until);

}  // namespace quorate::sim
