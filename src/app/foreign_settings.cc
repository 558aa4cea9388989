#include "app/foreign_settings.h"

#include <algorithm>
#include <vector>

namespace quorate::app {
namespace {

constexpr std::string_view kNotBbolt = "the store is not bbolt and has no such thing to tune";
constexpr std::string_view kNoV2 = "there is no v2 API here";
constexpr std::string_view kNoTraces = "no traces are sent; /metrics has the figures";
constexpr std::string_view kRotation = "logs are rotated by whoever gets them: journald, logrotate";
constexpr std::string_view kOwnChecks =
    "checksums are verified on every read and by --scrub-rate; `quorate doctor --hashes` compares "
    "members";
constexpr std::string_view kNoDiscovery = "members are found by --initial-cluster";
constexpr std::string_view kNoProxy = "this program is always a member, never a proxy";
constexpr std::string_view kLeases =
    "a new leader gives every lease its full time again, so none ends early";
constexpr std::string_view kSlow = "slow requests are not logged one by one";
constexpr std::string_view kKeepAlive = "the bounds for connections of clients are built in";
constexpr std::string_view kKept = "what is kept of the log follows from --snapshot-count";
constexpr std::string_view kSteps = "compaction goes in steps whose size is built in";

constexpr ForeignSetting kForeign[] = {
    {"wal-dir", "the log is kept in --data-dir, which is locked and checked as a whole"},
    {"max-wals", kKept},
    {"max-snapshots", kKept},
    {"enable-v2", kNoV2, true},
    {"enable-v2v3", kNoV2},
    {"v2-deprecation", kNoV2},
    {"enable-grpc-gateway", "the JSON gateway is always there", true},
    {"metrics", "all metrics are always there"},
    {"enable-pprof", "there is no Go runtime to profile; use perf", true},
    {"initial-election-tick-advance", "a starting member waits one election timeout", true},
    {"backend-bbolt-freelist-type", kNotBbolt},
    {"backend-batch-interval", kNotBbolt},
    {"backend-batch-limit", kNotBbolt},
    {"bootstrap-defrag-threshold-megabytes", kNotBbolt},
    {"txn-mode-write-with-shared-buffer", kNotBbolt, true},
    {"memory-mlock", "no memory is locked", true},
    {"skip-client-san-verification", "such checks of names are made only when asked for", true},
    {"peer-skip-client-san-verification", "such checks of names are made only when asked for",
     true},
    {"socket-reuse-port", "a port that two processes share would hide one of them", true},
    {"socket-reuse-address", "addresses of ended processes are always taken again", true},
    {"client-cert-file", "the JSON gateway is in this process and dials nobody"},
    {"client-key-file", "the JSON gateway is in this process and dials nobody"},
    {"set-member-localaddr", "the kernel chooses the local address", true},
    {"raft-read-timeout", "heartbeats watch the connections between members"},
    {"raft-write-timeout", "heartbeats watch the connections between members"},
    {"enable-log-rotation", kRotation, true},
    {"log-rotation-config-json", kRotation},
    {"log-package-levels", "one level holds for all: --log-level"},
    {"debug", "say --log-level debug", true},
    {"max-concurrent-streams", "a connection may have 10000 streams"},
    {"grpc-keepalive-min-time", kKeepAlive},
    {"grpc-keepalive-interval", kKeepAlive},
    {"grpc-keepalive-timeout", kKeepAlive},
    {"warning-apply-duration", kSlow},
    {"warning-unary-request-duration", kSlow},
    {"compaction-batch-limit", kSteps},
    {"compaction-sleep-interval", kSteps},
    {"unsafe-no-fsync", "every write is made durable before it is acknowledged", true},
    {"enable-lease-checkpoint", kLeases, true},
    {"enable-lease-checkpoint-persist", kLeases, true},
    {"corrupt-check-time", kOwnChecks},
    {"initial-corrupt-check", kOwnChecks, true},
    {"compact-hash-check-enabled", kOwnChecks, true},
    {"compact-hash-check-time", kOwnChecks},
    {"stop-grpc-service-on-defrag", kNotBbolt, true},
    {"downgrade-check-time", "there is no downgrade to check for"},
    {"feature-gates", "etcd's experiments do not exist here"},
    {"enable-distributed-tracing", kNoTraces, true},
    {"distributed-tracing-address", kNoTraces},
    {"distributed-tracing-service-name", kNoTraces},
    {"distributed-tracing-instance-id", kNoTraces},
    {"distributed-tracing-sampling-rate", kNoTraces},
    {"discovery-token", kNoDiscovery},
    {"discovery-endpoints", kNoDiscovery},
    {"discovery-dial-timeout", kNoDiscovery},
    {"discovery-request-timeout", kNoDiscovery},
    {"discovery-keepalive-time", kNoDiscovery},
    {"discovery-keepalive-timeout", kNoDiscovery},
    {"discovery-insecure-transport", kNoDiscovery, true},
    {"discovery-insecure-skip-tls-verify", kNoDiscovery, true},
    {"discovery-cert", kNoDiscovery},
    {"discovery-key", kNoDiscovery},
    {"discovery-cacert", kNoDiscovery},
    {"discovery-user", kNoDiscovery},
    {"discovery-password", kNoDiscovery},
    {"discovery-proxy", kNoDiscovery},
    {"discovery-fallback", kNoDiscovery},
    {"discovery-srv-name", kNoDiscovery},
    {"proxy-failure-wait", kNoProxy},
    {"proxy-refresh-interval", kNoProxy},
    {"proxy-dial-timeout", kNoProxy},
    {"proxy-write-timeout", kNoProxy},
    {"proxy-read-timeout", kNoProxy}};

// Letters to insert, drop or change to get from one to the other.
size_t distance(std::string_view one, std::string_view other) {
  std::vector<size_t> row(other.size() + 1);
  for (size_t at = 0; at < row.size(); ++at) row[at] = at;
  for (size_t line = 1; line <= one.size(); ++line) {
    size_t diagonal = row[0];
    row[0] = line;
    for (size_t at = 1; at <= other.size(); ++at) {
      const size_t changed = diagonal + (one[line - 1] == other[at - 1] ? 0 : 1);
      diagonal = row[at];
      row[at] = std::min({row[at] + 1, row[at - 1] + 1, changed});
    }
  }
  return row.back();
}

}  // namespace

std::span<const ForeignSetting> foreign_settings() { return kForeign; }

const ForeignSetting* find_foreign(std::string_view name) {
  const auto* at = std::ranges::find(kForeign, name, &ForeignSetting::name);
  return at == std::end(kForeign) ? nullptr : at;
}

std::string closest_name(std::string_view name, std::span<const std::string_view> known) {
  constexpr size_t name_letters_max = 64;  // longer is no slip of the finger
  if (name.size() > name_letters_max) return {};
  size_t least = std::max<size_t>(2, name.size() / 4) + 1;
  std::string closest;
  for (const std::string_view each : known) {
    const size_t far = distance(name, each);
    if (far < least) {
      least = far;
      closest = each;
    }
  }
  return closest;
}

}  // namespace quorate::app
