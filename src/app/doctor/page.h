// app/doctor/page.h: one plain HTTP page, such as /metrics, and a number in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace quorate::app::doctor {

// The body of a page that was answered with 200, whole, within `patience`.
std::optional<std::string> get_page(const std::string& address, const std::string& path,
                                    Duration patience);
// The value of a metric without labels in Prometheus text.
std::optional<double> metric_value(std::string_view page, std::string_view name);

}  // namespace quorate::app::doctor
