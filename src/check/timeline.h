// check/timeline.h: operations and watch answers as a drawing (SVG), for picture.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/verdict.h"

namespace quorate::check {

struct TimelineParts {
  std::vector<uint32_t> operations;
  std::vector<uint32_t> watch_replies;
  // The contradiction, among the above.
  std::vector<uint32_t> marked_operations;
  std::vector<uint32_t> marked_replies;
  uint32_t wrong = kNobody;  // the operation whose answer cannot be
};

std::string timeline_svg(const History& history, const TimelineParts& parts);

// A few characters: `put "1"`, `get "2"`, `"1"->"2" refused`. With the key unless it is clear.
std::string short_label(const History& history, const Operation& operation, bool with_key);

std::string escape_html(std::string_view text);

}  // namespace quorate::check
