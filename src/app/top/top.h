// app/top/top.h: quorate top, a live view of a cluster.
#pragma once

#include "app/commands.h"
#include "base/types.h"

namespace quorate::app::top {

// Shorter ones would be more work for the cluster than they show.
inline constexpr auto kIntervalMin = std::chrono::milliseconds(100);
inline constexpr auto kIntervalMax = std::chrono::hours(1);

struct TopOptions {
  Duration interval = std::chrono::seconds(2);
  bool once = false;
};
int run_top(const Common& common, const TopOptions& options);

}  // namespace quorate::app::top
