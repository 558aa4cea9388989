// app/sim_report.h: what the parts of `quorate sim` share.
#pragma once

#include <string>

#include "app/commands.h"
#include "sim/run.h"

namespace quorate::app {

void print_run(const std::string& what, const sim::RunResult& result);
// Each returns an exit code.
int run_scenario(const SimOptions& options, const sim::SimOptions& simulation);
int shrink_seed(const SimOptions& options, const sim::SimOptions& simulation);

}  // namespace quorate::app
