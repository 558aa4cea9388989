// sim/golden.h: the expected trace of a scenario, kept beside it (tests/scenarios/X.trace).
//
// It is the story of the first seed: reviewed once, compared for ever, replaced only on purpose
// (`quorate sim --scenario X.txt --accept`).
#pragma once

#include <string>

#include "sim/run.h"
#include "sim/script.h"

namespace quorate::sim {

// "a/b.txt" -> "a/b.trace", with another protocol than Raft "a/b.NAME.trace"
std::string trace_path(const std::string& scenario_path, consensus::Protocol protocol);
// The lines in which they differ, with a little of what stands before; empty: they are equal.
std::string difference(const std::string& expected, const std::string& actual);
// The whole file, or an error that says what to do.
Result<Script> read_scenario(const std::string& path);
Result<std::string> read_text(const std::string& path);

}  // namespace quorate::sim
