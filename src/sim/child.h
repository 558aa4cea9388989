// sim/child.h: a run in a process of its own, so that a failed CHECK, a crash or an endless loop
// is an answer like any other. For hunters and shrinkers; the runs themselves stay pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace quorate::sim {

struct ChildLimits {
  uint64_t cpu_seconds = 20;
  uint64_t memory_bytes = uint64_t{4} << 30U;
};

struct ChildEnd {
  std::string violation;     // what the work returned, or how it died; empty: all was well
  bool out_of_time = false;  // it was stopped; `violation` is empty
  int64_t cpu_microseconds = 0;
};

// One line, without its end; may be called from the work as often as it likes.
using Tell = std::function<void(std::string_view line)>;

// Runs `work` in a child and hands each line it tells to `hear` here.
ChildEnd run_in_child(const ChildLimits& limits,
                      const std::function<std::string(const Tell&)>& work, const Tell& hear);

// Runs another program with one more environment variable, its output thrown away or handed to
// `hear` line by line. Violation: "exit code N" or how it died.
ChildEnd run_program(const ChildLimits& limits, const std::string& path,
                     const std::string& variable, const std::string& value, const Tell& hear);

}  // namespace quorate::sim
