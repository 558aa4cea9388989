#include "app/durations.h"

#include <algorithm>
#include <charconv>

namespace quorate::app {
namespace {

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};
// Longer names first where one begins with another.
constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1000},
                           {"ms", 1000'000},
                           {"s", 1000'000'000},
                           {"m", uint64_t{60} * 1000'000'000},
                           {"h", uint64_t{3600} * 1000'000'000}};
constexpr uint64_t kDurationNanosecondsMax = uint64_t{10} * 365 * 24 * 3600 * 1000'000'000;

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  uint64_t total = 0;
  bool bare = true;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number > kDurationNanosecondsMax) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (text.empty() && bare) return Duration(static_cast<Duration::rep>(number));
    bare = false;
    const auto* unit = std::ranges::find_if(
        kUnits, [&](const Unit& known) { return text.starts_with(known.name); });
    if (unit == std::end(kUnits) || number > kDurationNanosecondsMax / unit->nanoseconds) {
      return std::nullopt;
    }
    text.remove_prefix(unit->name.size());
    total += number * unit->nanoseconds;
    if (total > kDurationNanosecondsMax) return std::nullopt;
  }
  return Duration(static_cast<Duration::rep>(total));
}

}  // namespace quorate::app
