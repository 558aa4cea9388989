// sim/text.h: numbers and words as scenarios write them.
//
// Times are decimals of a unit ("12.5" milliseconds) kept as whole nanoseconds: nothing is lost
// between writing and reading. Readers accept hostile input: whatever does not fit is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::sim {

// "12.5" for 12'500'000 in units of 1'000'000; `unit` is a power of ten.
std::string decimal_of(int64_t value, int64_t unit);
// The other way. False: no number, negative, too fine for the unit, or above 10^15.
bool read_decimal(std::string_view word, int64_t unit, int64_t& value);
// A whole number with an optional minus sign, up to 10^15 either way.
bool read_number(std::string_view word, int64_t& value);
// Separated by blanks; everything from '#' on is a comment.
std::vector<std::string> words_of(std::string_view line);
std::string joined(const std::vector<std::string>& words);

}  // namespace quorate::sim
