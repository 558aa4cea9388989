// app/bench/bench.h: `quorate bench`: load on a server, and what it did.
//
// The measuring is in load/; here are the flags, the workloads made of them, and the report.
// Included by the files that read command lines only.
#pragma once

#include <functional>
#include <memory>

#include "app/commands.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace quorate::app::bench {

// Runs a command with what the global flags say; keeps its exit code.
using Run = std::function<void(const std::function<int(const Common&)>&)>;

// Holds what the flags say while the command line is parsed and run.
struct Lines;
std::shared_ptr<Lines> make_lines();
void add_bench(CLI::App& app, Lines& lines, const Run& run);

}  // namespace quorate::app::bench
