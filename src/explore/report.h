// explore/report.h: what a search saw, as a table for people, as JSON for programs, and a broken
// rule as a trace file that can be read and played again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "explore/search.h"

namespace quorate::explore {

std::string table_head();
std::string table_row(const Report& report);
std::string details(const Report& report);  // what the row has no room for, a trace included
std::string json(const Report& report);
std::string progress(const Report& so_far);  // one line

// What `quorate explore --replay` needs: the scope, the random steps before it, the moves.
struct TraceFile {
  Scope scope;
  uint64_t walk = 0;
  uint64_t seed = 1;
  std::string rule;
  std::vector<std::string> moves;
};
std::string trace_text(const TraceFile& trace);
Result<TraceFile> parse_trace(std::string_view text);

}  // namespace quorate::explore
