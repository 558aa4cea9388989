// check perf: a minute of puts at a steady rate, and whether the cluster bore it well.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>

#include "app/etcdctl/commands.h"
#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "machine/etcd/messages.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;
using Clock = std::chrono::steady_clock;

// etcd's own names for how much a cluster gets to do, and what counts as well done.
struct Load {
  std::string_view name;
  uint64_t rate;     // puts a second
  uint64_t clients;  // puts under way at a time
};
constexpr Load kLoads[] = {{"s", 150, 50}, {"m", 1000, 200}, {"l", 8000, 500}, {"xl", 15000, 1000}};
constexpr double kRatePartMin = 0.9;     // of the rate
constexpr double kSlowestSeconds = 0.5;  // one put
constexpr double kDeviationSeconds = 0.1;
constexpr size_t kValueBytes = 1024;
constexpr uint64_t kKeys = 10000;
constexpr auto kStep = std::chrono::milliseconds(2);
constexpr auto kReportEvery = std::chrono::seconds(1);

const Load* load_named(std::string_view name) {
  if (name == "small") name = "s";
  if (name == "medium") name = "m";
  if (name == "large") name = "l";
  if (name == "xLarge") name = "xl";
  const auto* at = std::ranges::find(kLoads, name, &Load::name);
  return at == std::end(kLoads) ? nullptr : at;
}

class Performance {
 public:
  Performance(const Common& common, const PerformanceOptions& options, const Load& load)
      : common_(common), options_(options), load_(load), session_(common) {}
  int run();

 private:
  std::optional<int> connect();
  void start_due(Clock::time_point begun);
  void take(const front::grpc::Finished& finished);
  int judge(double seconds);
  void clean_up();

  const Common& common_;
  const PerformanceOptions& options_;
  const Load& load_;
  Session session_;
  Interruption interruption_;
  std::vector<std::unique_ptr<front::grpc::Client>> clients_;
  std::vector<std::map<uint64_t, Clock::time_point>> under_way_;  // by client and call
  uint64_t started_ = 0;
  uint64_t flying_ = 0;
  std::vector<double> took_;  // seconds
  uint64_t failed_ = 0;
  std::string failure_;
};

std::optional<int> Performance::connect() {
  for (const std::string& endpoint : session_.endpoints()) {
    auto connected = session_.connect(endpoint, common_.timeout);
    if (!connected) {
      complain(connected.error().text);
      return kExitUnavailable;
    }
    clients_.push_back(std::move(*connected));
  }
  under_way_.resize(clients_.size());
  return std::nullopt;
}

void Performance::start_due(Clock::time_point begun) {
  static const std::string value(kValueBytes, 'v');
  const double passed = std::chrono::duration<double>(Clock::now() - begun).count();
  const auto due = static_cast<uint64_t>(std::min(passed, static_cast<double>(options_.seconds)) *
                                         static_cast<double>(load_.rate));
  while (started_ < due && flying_ < load_.clients) {
    const std::string key = options_.prefix + std::to_string(started_ % kKeys);
    etcd::PutRequest request;
    request.key = key;
    request.value = value;
    std::string wire;
    etcd::encode(request, wire);
    const size_t at = started_++ % clients_.size();
    under_way_[at].emplace(clients_[at]->submit(kPathPut, wire, common_.timeout), Clock::now());
    ++flying_;
  }
}

void Performance::take(const front::grpc::Finished& finished) {
  if (finished.answer.fate == front::grpc::Fate::answered && finished.answer.status == 0) return;
  ++failed_;
  failure_ = finished.answer.message;
}

int Performance::judge(double seconds) {
  const auto total = static_cast<double>(took_.size());
  double sum = 0;
  double squares = 0;
  for (const double each : took_) sum += each;
  const double mean = took_.empty() ? 0 : sum / total;
  for (const double each : took_) squares += (each - mean) * (each - mean);
  const double deviation = took_.empty() ? 0 : std::sqrt(squares / total);
  const double slowest = took_.empty() ? 0 : *std::ranges::max_element(took_);
  const double rate = total / seconds;
  bool well = true;
  const auto verdict = [&](bool good, const char* pass, const char* bad, double value) {
    well = well && good;
    std::printf(good ? pass : bad, value);
  };
  if (failed_ > 0) {
    well = false;
    std::printf("FAIL: ERROR(%s) -> %lu\n", failure_.c_str(), static_cast<unsigned long>(failed_));
  }
  verdict(rate >= kRatePartMin * static_cast<double>(load_.rate),
          "PASS: Throughput is %.0f writes/s\n", "FAIL: Throughput too low: %.0f writes/s\n",
          std::floor(rate + 0.5));
  verdict(slowest <= kSlowestSeconds, "PASS: Slowest request took %fs\n",
          "FAIL: Slowest request took too long: %fs\n", slowest);
  verdict(deviation <= kDeviationSeconds, "PASS: Stddev is %fs\n", "FAIL: Stddev too high: %fs\n",
          deviation);
  std::printf(well ? "PASS\n" : "FAIL\n");
  return well ? kExitOk : kExitRefused;
}

void Performance::clean_up() {
  const KeyRange range = key_range(options_.prefix, "", true, false);
  etcd::DeleteRangeRequest request;
  request.key = range.key;
  request.range_end = range.end;
  std::string wire;
  etcd::encode(request, wire);
  const Response response = session_.write(kPathDelete, wire);
  if (response.verdict != Verdict::done) {
    complain("keys under " + options_.prefix + " are left behind: " + response.text);
    return;
  }
  const auto erased = etcd::decode_delete_range_response(response.body);
  if (options_.compact && erased) {
    std::string compaction;
    etcd::encode(etcd::CompactionRequest{erased->header.revision, true}, compaction);
    const Response compacted = session_.write(kPathCompact, compaction);
    if (compacted.verdict != Verdict::done) complain("not compacted: " + compacted.text);
  }
  if (options_.defragment) run_defragment(common_, {});
}

int Performance::run() {
  if (auto code = connect()) return *code;
  const auto begun = Clock::now();
  const auto end = begun + std::chrono::seconds(options_.seconds);
  auto reported = begun;
  while ((Clock::now() < end || flying_ > 0) && !interruption_.happened()) {
    start_due(begun);
    for (size_t at = 0; at < clients_.size(); ++at) {
      for (const auto& finished : clients_[at]->wait(kStep / clients_.size())) {
        const auto found = under_way_[at].find(finished.call);
        if (found == under_way_[at].end()) continue;
        took_.push_back(std::chrono::duration<double>(Clock::now() - found->second).count());
        under_way_[at].erase(found);
        --flying_;
        take(finished);
      }
    }
    if (Clock::now() - reported >= kReportEvery) {
      reported = Clock::now();
      show_progress("check perf: " + std::to_string(took_.size()) + " puts, " +
                    std::to_string((reported - begun) / std::chrono::seconds(1)) + " of " +
                    std::to_string(options_.seconds) + " s");
    }
  }
  end_progress();
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const int code = judge(seconds);
  clean_up();
  return code;
}

}  // namespace

int run_check_performance(const Common& common, const PerformanceOptions& options) {
  const Load* load = load_named(options.load);
  if (load == nullptr) {
    complain("\"" + options.load + "\" is no load: it is s, m, l or xl");
    return kExitUsage;
  }
  return Performance(common, options, *load).run();
}

}  // namespace quorate::app::etcdctl
