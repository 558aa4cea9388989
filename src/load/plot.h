// load/plot.h: throughput against latency as a picture (SVG), for one system or several.
//
// Latency has a logarithmic axis: the tail of a good system and the middle of a bad one must
// both be readable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace quorate::load {

struct PlotPoint {
  double per_second = 0;
  Duration middle{};
  Duration slowest_hundredth{};
  Duration slowest_thousandth{};
};
struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // ordered by throughput
};

// Series behind this many would have the colour of another one.
inline constexpr size_t kPlotSeriesMax = 6;

std::string latency_plot(std::string_view title, const std::vector<PlotSeries>& series);

}  // namespace quorate::load
