#include "world/real/limited_log.h"

namespace quorate::world {
namespace {

constexpr Duration kInterval = std::chrono::seconds(1);
// A small cluster's members coming and going are all seen; a flood is not.
constexpr uint32_t kLinesPerInterval = 8;

}  // namespace

void LimitedLog::say(Time now, LogLevel level, LogTopic topic, const std::string& text) {
  State& state = states_[static_cast<size_t>(topic)];
  if (now - state.interval_start >= kInterval) {
    state.interval_start = now;
    state.spoken = 0;
  }
  if (state.spoken >= kLinesPerInterval) {
    ++state.left_out;
    return;
  }
  ++state.spoken;
  if (state.left_out == 0) return log(level, text);
  log(level, text + " (and " + std::to_string(state.left_out) + " more like it before)");
  state.left_out = 0;
}

}  // namespace quorate::world
