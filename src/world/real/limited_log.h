// world/real/limited_log.h: log lines that strangers can provoke, at a bounded rate.
//
// Each topic speaks a few times a second; the first line after says how many were left out.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/log.h"
#include "base/types.h"

namespace quorate::world {

enum class LogTopic : uint8_t {
  connected,
  lost,
  unreachable,
  refused_peer,
  refused_by_peer,
  limit,
  address
};
inline constexpr size_t kLogTopics = 7;

class LimitedLog {
 public:
  void say(Time now, LogLevel level, LogTopic topic, const std::string& text);

 private:
  struct State {
    Time interval_start;
    uint32_t spoken = 0;  // in this interval
    uint64_t left_out = 0;
  };
  std::array<State, kLogTopics> states_;
};

}  // namespace quorate::world
