// app/durations.h: spans of time as Go writes them, which is how etcd's flags have them.
#pragma once

#include <optional>
#include <string_view>

#include "base/types.h"

namespace quorate::app {

// Whole numbers only. A bare number is nanoseconds, as in etcd's files. nullopt: it is none, or
// longer than anybody means.
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace quorate::app
