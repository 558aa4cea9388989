// app/bench/page.h: what a run showed, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "app/bench/options.h"
#include "load/outside.h"
#include "load/plot.h"
#include "load/runner.h"

namespace quorate::app::bench {

// Above this share of one core the tool itself may have been the limit: the figure is void. In an
// open loop it wakes for each arrival, which costs time that it has; there it must also have been
// late for more than this share of the operations.
inline constexpr double kToolShareMax = 0.7;
inline constexpr double kLateShareMax = 0.01;

struct Point {
  double rate = 0;  // asked for; 0: closed loop
  load::Measurement measurement;
  load::OutsideUse outside;
  std::string first_error;
};

struct Report {
  Options options;
  std::vector<std::string> endpoints;
  size_t servers = 0;  // processes whose use was counted
  std::vector<std::string> devices;
  std::vector<Point> points;
};

std::string page(const Report& report);
std::string report_json(const Report& report);
load::PlotSeries series_of(const Report& report);
// The other way round, of what report_json() wrote.
Result<load::PlotSeries> series_of_json(std::string_view json, std::string_view file);
std::string progress_line(const std::string& what, const load::Progress& progress);
std::string duration_text(Duration duration);  // 3 digits: 1.23 ms
bool tool_was_limit(const Point& point);

}  // namespace quorate::app::bench
