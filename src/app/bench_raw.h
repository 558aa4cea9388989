// app/bench_raw.h: `quorate bench raw`: consensus by itself, in this process (src/raw).
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace quorate::app {

// Adds `raw` to the subcommand `bench`, which is made if it is not there. `json` and `code` belong
// to the command line and outlive it.
void add_raw_bench(CLI::App& app, const bool& json, int& code);

}  // namespace quorate::app
