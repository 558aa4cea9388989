// app/memory_budget.h: how much memory this process may use for values that it could also read
// from its store.
#pragma once

#include <cstdint>

namespace quorate::app {

// A quarter of what the machine has, or of what the control group of the process (a container, a
// service) is allowed: three members may share one machine, and keys take memory as well.
uint64_t memory_for_values();

}  // namespace quorate::app
