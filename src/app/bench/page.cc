#include "app/bench/page.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/output.h"
#include "load/clock.h"

namespace quorate::app::bench {
namespace {

using Json = nlohmann::ordered_json;
using load::Measurement;
using load::seconds_of;

constexpr std::array<std::pair<const char*, double>, 5> kShares = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}}};
constexpr std::array<const char*, 5> kShareKeys = {"p50_us", "p90_us", "p99_us", "p99_9_us",
                                                   "p99_99_us"};

std::string decimal(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

// With commas between thousands: people compare lengths before they read digits.
std::string grouped(double value) {
  std::string text = decimal(value, value < 100 ? 1 : 0);
  const size_t point = std::min(text.find('.'), text.size());
  for (size_t place = point; place > 3; place -= 3) text.insert(place - 3, 1, ',');
  return text;
}

double microseconds(Duration duration) { return static_cast<double>(duration.count()) / 1e3; }

double per_operation(const Measurement& measurement, double amount) {
  return amount / std::max<double>(1, static_cast<double>(measurement.in_window()));
}

double rate_of(uint64_t count, const Measurement& measurement) {
  return measurement.window > Duration{}
             ? static_cast<double>(count) / seconds_of(measurement.window)
             : 0;
}

double processors() { return std::max(1U, std::thread::hardware_concurrency()); }

double tool_core_share(const Measurement& measurement) {
  return measurement.window > Duration{}
             ? seconds_of(measurement.tool_cpu) / seconds_of(measurement.window)
             : 0;
}

std::vector<std::string> latency_row(const std::string& name, uint64_t count,
                                     const load::LatencyHistogram& latency,
                                     const Measurement& measurement) {
  std::vector<std::string> row = {name, grouped(static_cast<double>(count)),
                                  grouped(rate_of(count, measurement)),
                                  duration_text(latency.mean())};
  for (const auto& [title, share] : kShares) row.push_back(duration_text(latency.at(share)));
  row.push_back(duration_text(latency.most()));
  return row;
}

std::string table(const Measurement& measurement) {
  Table rows(
      {"WHAT", "COUNT", "PER SECOND", "MEAN", "P50", "P90", "P99", "P99.9", "P99.99", "MAX"});
  load::LatencyHistogram all;
  for (const auto& kind : measurement.kinds) {
    rows.add(latency_row(kind.name, kind.in_window, kind.latency, measurement));
    all.merge(kind.latency);
  }
  if (measurement.kinds.size() > 1) {
    rows.add(latency_row("all", measurement.in_window(), all, measurement));
  }
  for (const auto& side : measurement.side_results) {
    rows.add(latency_row(side.name, side.in_window, side.latency, measurement));
  }
  return rows.text();
}

// Seconds from the opening of the window to the beginning of the slowest operation.
double slowest_began(const Measurement& measurement) {
  const auto slowest = std::ranges::max_element(
      measurement.kinds, {}, [](const load::KindResult& kind) { return kind.latency.most(); });
  if (slowest == measurement.kinds.end() || slowest->latency.count() == 0) return 0;
  return seconds_of(slowest->slowest_at - measurement.opened);
}

// By the clock on the wall, which the logs of servers have too.
std::string wall_time(Time moment) {
  const auto ago = load::clock_now() - moment;
  const Duration then = load::read_clock(CLOCK_REALTIME) - ago;
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(then);
  const time_t seconds = whole.count();
  tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%H:%M:%S", &parts);
  return std::string(text.data()) + decimal(seconds_of(then - whole), 3).substr(1);
}

std::string slowest_line(const Measurement& measurement) {
  if (measurement.in_window() == 0) return {};
  const double began = slowest_began(measurement);
  const Time moment = measurement.opened + Duration(static_cast<Duration::rep>(began * 1e9));
  return "the slowest began " + decimal(began, 3) + " s into the measurement, at " +
         wall_time(moment) + "\n";
}

std::string error_lines(const Point& point) {
  const Measurement& measurement = point.measurement;
  std::string text;
  for (size_t place = 1; place < load::kOutcomeCount; ++place) {
    if (measurement.outcomes.at(place) == 0) continue;
    text += (text.empty() ? "" : ", ") +
            std::string(load::outcome_name(static_cast<load::Outcome>(place))) + " " +
            grouped(static_cast<double>(measurement.outcomes.at(place)));
  }
  if (!text.empty()) text = "errors, not counted above: " + text + "\n";
  if (!point.first_error.empty()) text += "the first error: " + point.first_error + "\n";
  const auto count = [&text](uint64_t number, const std::string& what) {
    if (number != 0) text += std::to_string(number) + " " + what + "\n";
  };
  count(measurement.late, "operations were sent more than 1 ms after their time");
  count(measurement.unfinished, "operations had no answer 10 s after the end");
  count(measurement.unsent, "operations never had their turn: the rate was not reached");
  count(measurement.abandoned, "operations were abandoned: a million waited already");
  for (const auto& side : measurement.side_results) {
    count(side.undelivered, side.name + "s were still on their way at the end, and count as late");
  }
  for (const std::string& problem : measurement.problems) text += "BROKEN: " + problem + "\n";
  return text;
}

std::string use_lines(const Report& report, const Point& point) {
  const Measurement& measurement = point.measurement;
  std::string text =
      "this tool: " + decimal(per_operation(measurement, microseconds(measurement.tool_cpu)), 2) +
      " us CPU per operation, " + decimal(100 * tool_core_share(measurement) / processors(), 1) +
      " % of the machine\n";
  if (tool_was_limit(point)) {
    text +=
        "This tool was busy for more than 70 % of its time: it may have been the limit, and "
        "the figure is void. Use several processes of it, or a larger machine.\n";
  }
  if (report.servers != 0) {
    const load::ProcessUse& use = point.outside.processes;
    text += "servers: " + std::to_string(report.servers) + " processes, " +
            decimal(per_operation(measurement, microseconds(use.cpu)), 2) + " us CPU and " +
            decimal(per_operation(measurement, static_cast<double>(use.context_switches)), 2) +
            " context switches per operation, " +
            decimal(static_cast<double>(use.resident_bytes) / (1 << 20), 1) +
            " MiB resident, the largest " +
            decimal(static_cast<double>(point.outside.largest_resident_bytes) / (1 << 20), 1) +
            "\n";
    const load::DeviceUse& disk = point.outside.devices;
    text += "disks: " + decimal(per_operation(measurement, static_cast<double>(disk.flushes)), 3) +
            " flushes, " +
            decimal(per_operation(measurement, static_cast<double>(disk.writes)), 3) +
            " writes and " +
            decimal(per_operation(measurement, static_cast<double>(disk.written_bytes)), 0) +
            " bytes per operation\n";
  }
  return text;
}

std::string head(const Report& report, const Point& point) {
  const load::Plan& plan = report.options.plan;
  std::string text = report.options.workload + ": ";
  if (!report.options.name.empty()) text = report.options.name + ", " + text;
  if (point.rate > 0) {
    text += "open loop, " + grouped(point.rate) + "/s " +
            (plan.arrivals == load::Arrivals::poisson ? "(Poisson)" : "(even)") +
            ", latency from the intended time, at most " + std::to_string(plan.outstanding) +
            " outstanding";
  } else {
    text += "closed loop, " + std::to_string(plan.outstanding) + " outstanding";
  }
  text += ", " + std::to_string(report.options.connections) + " connections, " +
          decimal(seconds_of(point.measurement.window), 1) + " s";
  if (point.measurement.stopped) text += " (stopped early)";
  return text + "\n";
}

Json latency_json(uint64_t count, const load::LatencyHistogram& latency,
                  const Measurement& measurement) {
  Json json;
  json["operations"] = count;
  json["per_second"] = rate_of(count, measurement);
  json["timed"] = latency.count();
  json["mean_us"] = microseconds(latency.mean());
  json["min_us"] = microseconds(latency.least());
  for (size_t place = 0; place < kShares.size(); ++place) {
    json[kShareKeys.at(place)] = microseconds(latency.at(kShares.at(place).second));
  }
  json["max_us"] = microseconds(latency.most());
  return json;
}

Json outside_json(const Report& report, const Point& point) {
  const load::OutsideUse& use = point.outside;
  const auto each = [&point](auto amount) {
    return per_operation(point.measurement, static_cast<double>(amount));
  };
  Json json;
  json["processes"] = report.servers;
  json["cpu_us_per_operation"] = each(use.processes.cpu.count()) / 1e3;
  json["cpu_seconds"] = seconds_of(use.processes.cpu);
  json["context_switches_per_operation"] = each(use.processes.context_switches);
  json["resident_bytes"] = use.processes.resident_bytes;
  json["largest_resident_bytes"] = use.largest_resident_bytes;
  json["devices"] = report.devices;
  json["flushes_per_operation"] = each(use.devices.flushes);
  json["writes_per_operation"] = each(use.devices.writes);
  json["written_bytes_per_operation"] = each(use.devices.written_bytes);
  return json;
}

Json point_json(const Report& report, const Point& point) {
  const Measurement& measurement = point.measurement;
  Json json;
  json["rate"] = point.rate;
  json["window_seconds"] = seconds_of(measurement.window);
  json["stopped"] = measurement.stopped;
  load::LatencyHistogram all;
  for (const auto& kind : measurement.kinds) all.merge(kind.latency);
  json["total"] = latency_json(measurement.in_window(), all, measurement);
  json["total"]["max_at_seconds"] = slowest_began(measurement);
  for (const auto& kind : measurement.kinds) {
    json["kinds"][kind.name] = latency_json(kind.in_window, kind.latency, measurement);
  }
  json["side"] = Json::object();
  for (const auto& side : measurement.side_results) {
    json["side"][side.name] = latency_json(side.in_window, side.latency, measurement);
    json["side"][side.name]["undelivered"] = side.undelivered;
  }
  json["errors"] = Json::object();
  for (size_t place = 1; place < load::kOutcomeCount; ++place) {
    if (measurement.outcomes.at(place) == 0) continue;
    json["errors"][std::string(load::outcome_name(static_cast<load::Outcome>(place)))] =
        measurement.outcomes.at(place);
  }
  if (!point.first_error.empty()) json["first_error"] = printable(point.first_error);
  json["late"] = measurement.late;
  json["backlog_most"] = measurement.backlog_most;
  json["all"] = {{"issued", measurement.issued}, {"ok", measurement.ok},
                 {"failed", measurement.failed}, {"unfinished", measurement.unfinished},
                 {"unsent", measurement.unsent}, {"abandoned", measurement.abandoned}};
  json["tool"] = {
      {"cpu_us_per_operation", per_operation(measurement, microseconds(measurement.tool_cpu))},
      {"core_share", tool_core_share(measurement)},
      {"machine_share", tool_core_share(measurement) / processors()},
      {"was_limit", tool_was_limit(point)}};
  if (report.servers != 0) json["outside"] = outside_json(report, point);
  json["problems"] = measurement.problems;
  return json;
}

}  // namespace

bool tool_was_limit(const Point& point) {
  const Measurement& measurement = point.measurement;
  if (tool_core_share(measurement) <= kToolShareMax) return false;
  return point.rate <= 0 ||
         per_operation(measurement, static_cast<double>(measurement.late)) > kLateShareMax;
}

std::string duration_text(Duration duration) {
  const double value = static_cast<double>(duration.count());
  static constexpr std::array<std::pair<double, const char*>, 4> kUnits = {
      {{1e9, " s"}, {1e6, " ms"}, {1e3, " us"}, {1, " ns"}}};
  for (const auto& [size, name] : kUnits) {
    if (value < size) continue;
    const double shown = value / size;
    return decimal(shown, shown < 10 ? 2 : shown < 100 ? 1 : 0) + name;
  }
  return "0";
}

std::string progress_line(const std::string& what, const load::Progress& progress) {
  std::string line = what + "  " + decimal(100 * progress.share, 0) + " %  " +
                     (progress.warming_up ? "warming up, " : "") + grouped(progress.per_second) +
                     "/s  p50 " + duration_text(progress.middle) + "  p99 " +
                     duration_text(progress.slowest_hundredth) + "  " +
                     std::to_string(progress.under_way) + " under way";
  if (progress.waiting != 0) line += ", " + std::to_string(progress.waiting) + " waiting";
  if (progress.failed != 0) line += ", " + std::to_string(progress.failed) + " failed";
  return line;
}

std::string page(const Report& report) {
  std::string text;
  for (const Point& point : report.points) {
    if (!text.empty()) text += "\n";
    text += head(report, point) + table(point.measurement) + slowest_line(point.measurement) +
            error_lines(point) + use_lines(report, point);
  }
  return text;
}

std::string report_json(const Report& report) {
  const Options& options = report.options;
  Json json;
  json["workload"] = options.workload;
  json["name"] = options.name;
  json["endpoints"] = report.endpoints;
  json["connections"] = options.connections;
  json["outstanding"] = options.plan.outstanding;
  json["arrivals"] = options.plan.arrivals == load::Arrivals::poisson ? "poisson" : "even";
  json["seed"] = options.plan.seed;
  json["warm_up_seconds"] = seconds_of(options.plan.warm_up);
  json["keys"] = options.space.keys;
  json["value_bytes"] = options.space.value_bytes;
  json["points"] = Json::array();
  for (const Point& point : report.points) json["points"].push_back(point_json(report, point));
  return json.dump();
}

load::PlotSeries series_of(const Report& report) {
  load::PlotSeries series{
      report.options.name.empty() ? report.options.workload : report.options.name, {}};
  for (const Point& point : report.points) {
    load::LatencyHistogram all;
    for (const auto& kind : point.measurement.kinds) all.merge(kind.latency);
    series.points.push_back(
        {point.measurement.per_second(), all.at(0.5), all.at(0.99), all.at(0.999)});
  }
  return series;
}

Result<load::PlotSeries> series_of_json(std::string_view json, std::string_view file) {
  const Json parsed = Json::parse(json, nullptr, false);
  const auto wrong = [&file] {
    return fail(ErrorKind::invalid, std::string(file) +
                                        " is not what `quorate bench --json` writes; give it a "
                                        "file with that output");
  };
  if (!parsed.is_object() || !parsed.contains("points")) return wrong();
  load::PlotSeries series;
  try {  // the library reports by exceptions; they end here
    series.name = parsed.value("name", "");
    if (series.name.empty()) series.name = parsed.value("workload", "");
    for (const Json& point : parsed.at("points")) {
      const Json& total = point.at("total");
      const auto time = [&total](const char* key) {
        return Duration(static_cast<Duration::rep>(total.at(key).get<double>() * 1e3));
      };
      series.points.push_back(
          {total.at("per_second").get<double>(), time("p50_us"), time("p99_us"), time("p99_9_us")});
    }
  } catch (const Json::exception&) {
    return wrong();
  }
  return series;
}

}  // namespace quorate::app::bench
