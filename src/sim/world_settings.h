// sim/world_settings.h: the world of a scenario, setting by setting: one table for reading,
// writing and simplifying it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sim/swarm.h"

namespace quorate::sim {

struct Setting {
  const char* name;
  int64_t unit;  // values in a file are decimals of this (nanoseconds for times)
  int64_t least;
  int64_t most;
  int64_t (*get)(const Swarm& world);
  void (*set)(Swarm& world, int64_t value);
};

std::span<const Setting> world_settings();
// False: no such setting, or its value is not one it may have.
bool set_world(Swarm& world, std::string_view name, std::string_view value);
// A calm world that scenarios start from: what they do not mention does not disturb them.
Swarm scenario_world();
// What is wrong with it as a whole, or nothing.
std::string world_problem(const Swarm& world);
// One line for each setting that differs from scenario_world().
std::string world_text(const Swarm& world);

}  // namespace quorate::sim
