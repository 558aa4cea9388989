// check perf: a minute of puts at a steady rate, and whether the cluster bore it well. check
// datascale: many keys, and how much more memory a member has for them.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "app/doctor/page.h"
#include "app/etcdctl/commands.h"
#include "app/etcdctl/put_load.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "machine/etcd/messages.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;

// etcd's own names for how much a cluster gets to do, and what counts as well done.
struct Load {
  std::string_view name;
  uint64_t rate;     // puts a second
  uint64_t clients;  // puts under way at a time
  uint64_t pairs;    // of check datascale
};
constexpr Load kLoads[] = {{"s", 150, 50, 10'000},
                           {"m", 1000, 200, 100'000},
                           {"l", 8000, 500, 1'000'000},
                           {"xl", 15000, 1000, 3'000'000}};
constexpr double kRatePartMin = 0.9;     // of the rate
constexpr double kSlowestSeconds = 0.5;  // one put
constexpr double kDeviationSeconds = 0.1;
constexpr uint64_t kKeys = 10000;
constexpr auto kPagePatience = std::chrono::seconds(5);
constexpr double kMebibyte = 1024 * 1024;

const Load* load_named(std::string_view name) {
  if (name == "small") name = "s";
  if (name == "medium") name = "m";
  if (name == "large") name = "l";
  if (name == "xLarge") name = "xl";
  const auto* at = std::ranges::find(kLoads, name, &Load::name);
  if (at != std::end(kLoads)) return at;
  complain("\"" + std::string(name) + "\" is no load: it is s, m, l or xl");
  return nullptr;
}

// Whether any put failed, which is said.
bool say_failures(const PutLoad& puts) {
  if (puts.failed() == 0) return false;
  std::printf("FAIL: ERROR(%s) -> %lu\n", puts.failure().c_str(),
              static_cast<unsigned long>(puts.failed()));
  return true;
}

int judge(const PutLoad& puts, const Load& load) {
  const std::vector<double>& took = puts.took();
  const auto total = static_cast<double>(took.size());
  double sum = 0;
  double squares = 0;
  for (const double each : took) sum += each;
  const double mean = took.empty() ? 0 : sum / total;
  for (const double each : took) squares += (each - mean) * (each - mean);
  const double deviation = took.empty() ? 0 : std::sqrt(squares / total);
  const double slowest = took.empty() ? 0 : *std::ranges::max_element(took);
  const double rate = total / puts.seconds();
  bool well = !say_failures(puts);
  const auto verdict = [&](bool good, const char* pass, const char* bad, double value) {
    well = well && good;
    std::printf(good ? pass : bad, value);
  };
  verdict(rate >= kRatePartMin * static_cast<double>(load.rate),
          "PASS: Throughput is %.0f writes/s\n", "FAIL: Throughput too low: %.0f writes/s\n",
          std::floor(rate + 0.5));
  verdict(slowest <= kSlowestSeconds, "PASS: Slowest request took %fs\n",
          "FAIL: Slowest request took too long: %fs\n", slowest);
  verdict(deviation <= kDeviationSeconds, "PASS: Stddev is %fs\n", "FAIL: Stddev too high: %fs\n",
          deviation);
  std::printf(well ? "PASS\n" : "FAIL\n");
  return well ? kExitOk : kExitRefused;
}

// Of the first endpoint's process.
std::optional<double> resident_memory(const std::string& endpoint) {
  const auto page = doctor::get_page(endpoint, "/metrics", kPagePatience);
  return page ? doctor::metric_value(*page, "process_resident_memory_bytes") : std::nullopt;
}

// Nothing, or why the keys must not be put: there are some already, which would be removed, too.
std::optional<int> refuse_used_prefix(Session& session, const std::string& prefix) {
  const KeyRange range = key_range(prefix, "", true, false);
  etcd::RangeRequest request;
  request.key = range.key;
  request.range_end = range.end;
  request.count_only = true;
  std::string wire;
  etcd::encode(request, wire);
  const Response response = session.read(kPathRange, wire);
  if (response.verdict != Verdict::done) return report(response, false);
  const auto found = etcd::decode_range_response(response.body);
  if (!found) return undecodable();
  if (found->count == 0) return std::nullopt;
  complain("prefix \"" + prefix + "\" has keys. Delete with `quorate del --prefix " + prefix +
           "` first");
  return kExitRefused;
}

int judge_memory(const PutLoad& puts, std::optional<double> before, std::optional<double> after) {
  if (say_failures(puts)) {
    std::printf("FAIL: too many errors\n");
    return kExitRefused;
  }
  if (!before || !after || *after <= *before) {
    std::printf("FAIL: Could not tell how much memory was used: %s\n",
                before && after ? "the process has no more than before" : "it was not to be read");
    return kExitRefused;
  }
  std::printf("PASS: Approximate system memory used : %.2f MB.\n", (*after - *before) / kMebibyte);
  return kExitOk;
}

}  // namespace

int run_check_performance(const Common& common, const PerformanceOptions& options) {
  const Load* load = load_named(options.load);
  if (load == nullptr) return kExitUsage;
  PutLoad puts(common, {.command = "check perf",
                        .prefix = options.prefix,
                        .keys = kKeys,
                        .clients = load->clients,
                        .rate = load->rate,
                        .seconds = options.seconds});
  if (auto code = puts.connect()) return *code;
  puts.run();
  const int code = judge(puts, *load);
  puts.clean_up(options.compact, options.defragment);
  return code;
}

int run_check_data_scale(const Common& common, const DataScaleOptions& options) {
  const Load* load = load_named(options.load);
  if (load == nullptr) return kExitUsage;
  PutLoad puts(common, {.command = "check datascale",
                        .prefix = options.prefix,
                        .keys = load->pairs,
                        .clients = load->clients});
  if (auto code = refuse_used_prefix(puts.session(), options.prefix)) return *code;
  const std::string endpoint = puts.session().endpoints().front();
  const auto before = resident_memory(endpoint);
  if (!before) {
    complain("the memory of " + endpoint +
             " cannot be read: its page /metrics, without TLS, says process_resident_memory_bytes. "
             "Name an endpoint that serves it");
    return kExitUnavailable;
  }
  if (auto code = puts.connect()) return *code;
  std::printf(
      "Start data scale check for work load [%lu key-value pairs, %zu bytes per key-value, "
      "%lu concurrent clients].\n",
      static_cast<unsigned long>(load->pairs), kCheckedValueBytes,
      static_cast<unsigned long>(load->clients));
  std::fflush(stdout);
  puts.run();
  const auto after = resident_memory(endpoint);
  puts.clean_up(options.compact, options.defragment);
  if (puts.interrupted()) return kExitRefused;
  return judge_memory(puts, before, after);
}

}  // namespace quorate::app::etcdctl
