// app/register_command.h: `quorate register get|set|cas`: values that need no leader.
#pragma once

#include <string>
#include <vector>

#include "app/commands.h"

namespace quorate::app {

struct RegisterOptions {
  enum class Kind : uint8_t { get, set, swap };
  Kind kind = Kind::get;
  std::string name;
  std::string value;
  std::string expected;
  std::vector<std::string> values;  // of a swap, as given: expected and new, or new alone
  bool unwritten = false;           // expects that nobody has written it
};

int run_register(const Common& common, RegisterOptions options);

}  // namespace quorate::app
