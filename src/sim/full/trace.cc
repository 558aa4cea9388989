#include "sim/full/trace.h"

namespace quorate::sim::full {

void Trace::write(Time now, NodeId node, const std::string& text) const {
  const auto microseconds =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  std::string line = std::to_string(microseconds / 1000) + "." +
                     std::to_string(1000 + microseconds % 1000).substr(1) + " ms ";
  line += node ? "m" + std::to_string(node.value) + " " : "-- ";
  sink_(line + text);
}

}  // namespace quorate::sim::full
