// check/describe.h: operations, values and times in words, for explanations and pictures.
#pragma once

#include <string>
#include <string_view>

#include "check/history.h"

namespace quorate::check {

inline constexpr size_t kShownTextMax = 48;  // bytes of a key or value; the rest becomes "..."

// In quotes, cut to a readable size; kNoText is `nothing`.
std::string show_text(const History& history, TextId text);
std::string show_bytes(std::string_view text);
// `put "a" = "1"`
std::string show_call(const History& history, const Operation& operation);
// `ok at revision 5`, `"1"`, `nothing`, `refused`, `unknown`
std::string show_answer(const History& history, const Operation& operation);
// `process 2: put "a" = "1" -> unknown (from 10.000002 ms on)`
std::string show_operation(const History& history, const Operation& operation);
// `12.345 ms`, or `line 12`
std::string show_time(const History& history, Time at);
std::string show_item(const History& history, const Item& item);

// `1 operation`, `3 operations`
std::string counted(uint64_t count, const std::string& noun);

}  // namespace quorate::check
