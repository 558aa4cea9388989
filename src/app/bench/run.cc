#include "app/bench/run.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>

#include "app/bench/page.h"
#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "load/null_server.h"
#include "load/plot.h"
#include "load/zookeeper_driver.h"

namespace quorate::app::bench {
namespace {

// Shows the person how it goes, reads the outside counters at the window's ends.
class Watcher final : public load::Observer {
 public:
  Watcher(Interruption& interruption, load::Outside* outside)
      : interruption_(interruption), outside_(outside) {}
  void call_it(std::string what) { what_ = std::move(what); }
  void on_window(bool opens) override {
    if (outside_ == nullptr) return;
    const auto looked = opens ? outside_->open() : outside_->close();
    if (!looked && problem_.empty()) problem_ = looked.error().text;
  }
  void on_progress(const load::Progress& progress) override {
    show_progress(progress_line(what_, progress));
  }
  bool stop_asked() override { return interruption_.happened(); }
  const std::string& problem() const { return problem_; }

 private:
  Interruption& interruption_;
  load::Outside* outside_;
  std::string what_;
  std::string problem_;
};

// False: it failed or was interrupted, and a sentence said so.
bool take_step(Step& step, Interruption& interruption) {
  Watcher watcher(interruption, nullptr);
  watcher.call_it(step.what);
  load::Plan plan;
  plan.outstanding = kStepOutstanding;
  plan.operations = step.operations;
  const load::Measurement done = load::run(*step.driver, plan, watcher);
  end_progress();
  if (done.stopped) {
    complain("interrupted while " + step.what);
    return false;
  }
  if (done.ok != step.operations) {
    complain(step.what + ": " + std::to_string(done.failed + done.unfinished) + " of " +
             std::to_string(step.operations) + " failed (" + step.driver->first_error() +
             "); is the server well?");
    return false;
  }
  return true;
}

bool failed(const Point& point) {
  const load::Measurement& measurement = point.measurement;
  return measurement.failed + measurement.unfinished != 0 || !measurement.problems.empty() ||
         measurement.ok == 0;
}

bool write_file(const std::string& name, const std::string& text) {
  std::ofstream file(name, std::ios::binary);
  file << text;
  file.close();
  if (file) return true;
  complain("cannot write " + name + "; does its directory exist, and is there space?");
  return false;
}

// Every point of the plan; fewer if one of them broke down or was stopped.
Result<void> measure_points(Workload& workload, const Options& options, load::Outside& outside,
                            Interruption& interruption, Report& report) {
  std::vector<double> rates = options.sweep;
  if (rates.empty()) rates.push_back(options.plan.rate);
  for (const double rate : rates) {
    Watcher watcher(interruption, report.servers != 0 ? &outside : nullptr);
    watcher.call_it(options.workload);
    load::Plan plan = options.plan;
    plan.rate = rate;
    Point point;
    point.rate = rate;
    point.measurement = load::run(*workload.driver, plan, watcher);
    point.outside = outside.use();
    point.first_error = workload.driver->first_error();
    end_progress();
    if (!watcher.problem().empty()) return fail(ErrorKind::not_found, watcher.problem());
    report.points.push_back(std::move(point));
    const load::Measurement& last = report.points.back().measurement;
    // An operation that never ended may still do so, in a window that is not its own.
    if (last.stopped || last.unfinished != 0) break;
  }
  return {};
}

}  // namespace

int run_workload(Workload& workload, const Options& options,
                 const std::vector<std::string>& endpoints, bool json) {
  Interruption interruption;
  for (Step& step : workload.before) {
    if (!take_step(step, interruption)) return kExitRefused;
  }
  if (const auto prepared = workload.driver->prepare(); !prepared) {
    complain(prepared.error().text);
    return kExitUnavailable;
  }
  load::Outside outside(options.servers, options.devices);
  Report report{options, endpoints, outside.processes(), outside.devices(), {}};
  if (const auto measured = measure_points(workload, options, outside, interruption, report);
      !measured) {
    complain(measured.error().text);
    return kExitUsage;
  }
  std::printf("%s\n", json ? report_json(report).c_str() : page(report).c_str());
  std::fflush(stdout);
  bool bad = std::ranges::any_of(report.points, failed);
  if (!options.plot_file.empty()) {
    bad =
        !write_file(options.plot_file, load::latency_plot(options.workload, {series_of(report)})) ||
        bad;
  }
  for (Step& step : workload.after) {
    if (!take_step(step, interruption)) return kExitRefused;
  }
  return bad ? kExitRefused : kExitOk;
}

int run_zookeeper(const Common& common, const Options& options) {
  if (common.security != nullptr || !common.user.empty()) {
    complain(
        "ZooKeeper is spoken to in plain text and by nobody in particular; leave out https://, "
        "the flags of TLS and --user");
    return kExitUsage;
  }
  Workload workload;
  workload.driver = load::zookeeper_driver({.endpoints = common.endpoints,
                                            .sessions = options.connections,
                                            .space = options.space,
                                            .reads = options.workload == "zookeeper-get"});
  return run_workload(workload, options, common.endpoints, common.json);
}

int run_etcd(const Common& common, const Options& options) {
  load::Servers servers{common.endpoints, common.security, {}};
  if (!common.user.empty()) {
    auto token = Session(common).token();
    if (!token) {
      complain(token.error().text);
      return kExitUnavailable;
    }
    servers.token = std::move(*token);
  }
  auto workload = etcd_workload(options, std::move(servers), common.dial_timeout);
  if (!workload) {
    complain(workload.error().text);
    return kExitUnavailable;
  }
  return run_workload(*workload, options, common.endpoints, common.json);
}

int run_null_server(const NullServerOptions& options) {
  Interruption interruption;
  load::NullAnswer answer{options.answer_bytes, options.status, options.text, options.fail_one_in};
  auto server = load::NullServer::listen(options.port, answer);
  if (!server) {
    complain(server.error().text);
    return kExitUnavailable;
  }
  std::printf("a server that does nothing listens on 127.0.0.1:%u\n", (*server)->port());
  std::fflush(stdout);
  while (!interruption.happened()) {
    // A signal is looked for once in many turns: it costs a call of the kernel.
    for (int count = 0; count < 64; ++count) (*server)->turn(std::chrono::milliseconds(2));
  }
  std::printf("%lu calls answered\n", static_cast<unsigned long>((*server)->answered()));
  return kExitOk;
}

int run_plot(const PlotOptions& options) {
  std::vector<load::PlotSeries> series;
  for (const std::string& name : options.files) {
    std::ifstream file(name, std::ios::binary);
    if (!file) {
      complain("cannot read " + name);
      return kExitUsage;
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    auto read = series_of_json(text, name);
    if (!read) {
      complain(read.error().text);
      return kExitUsage;
    }
    series.push_back(std::move(*read));
  }
  if (series.size() > load::kPlotSeriesMax) {
    complain("a plot has colours for " + std::to_string(load::kPlotSeriesMax) + " files");
    return kExitUsage;
  }
  return write_file(options.out, load::latency_plot(options.title, series)) ? kExitOk
                                                                            : kExitRefused;
}

}  // namespace quorate::app::bench
