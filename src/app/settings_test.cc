// Every flag that etcd 3.4 to 3.7 has: as a flag, as a variable and in a file.
#include "app/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>

#include "app/foreign_settings.h"

namespace quorate::app {
namespace {

enum class Fate { taken, warned, refused };
struct Flag {
  std::string name;
  std::string value;
  Fate fate;
};

// `warned` says why in the log; `refused` asks for protection or another start, which must not be
// passed over.
using enum Fate;
const Flag kFlagsOfEtcd[] = {{"name", "n", taken},
                             {"data-dir", "d", taken},
                             {"listen-client-urls", "http://127.0.0.1:1", taken},
                             {"advertise-client-urls", "http://127.0.0.1:1", taken},
                             {"listen-peer-urls", "http://127.0.0.1:2", taken},
                             {"initial-advertise-peer-urls", "http://127.0.0.1:2", taken},
                             {"initial-cluster", "n=http://127.0.0.1:2", taken},
                             {"initial-cluster-state", "new", taken},
                             {"initial-cluster-token", "t", taken},
                             {"cert-file", "c", taken},
                             {"key-file", "k", taken},
                             {"trusted-ca-file", "a", taken},
                             {"client-cert-auth", "true", taken},
                             {"client-crl-file", "r", taken},
                             {"client-cert-allowed-hostname", "h", taken},
                             {"auto-tls", "true", taken},
                             {"peer-cert-file", "c", taken},
                             {"peer-key-file", "k", taken},
                             {"peer-trusted-ca-file", "a", taken},
                             {"peer-client-cert-auth", "true", taken},
                             {"peer-auto-tls", "true", taken},
                             {"peer-cert-allowed-cn", "n", taken},
                             {"peer-cert-allowed-hostname", "h", taken},
                             {"peer-crl-file", "r", taken},
                             {"cipher-suites", "TLS_AES_128_GCM_SHA256", taken},
                             {"tls-min-version", "TLS1.2", taken},
                             {"tls-max-version", "TLS1.3", taken},
                             {"self-signed-cert-validity", "1", taken},
                             {"heartbeat-interval", "100", taken},
                             {"election-timeout", "1000", taken},
                             {"snapshot-count", "10000", taken},
                             {"snapshot-catchup-entries", "5000", taken},
                             {"experimental-snapshot-catchup-entries", "5000", taken},
                             {"quota-backend-bytes", "0", taken},
                             {"max-txn-ops", "128", taken},
                             {"max-request-bytes", "1572864", taken},
                             {"auto-compaction-mode", "periodic", taken},
                             {"auto-compaction-retention", "1h", taken},
                             {"watch-progress-notify-interval", "10m", taken},
                             {"experimental-watch-progress-notify-interval", "10m", taken},
                             {"max-learners", "1", taken},
                             {"client-threads", "2", taken},
                             {"experimental-max-learners", "1", taken},
                             {"log-level", "info", taken},
                             {"log-format", "json", taken},
                             {"log-outputs", "stderr", taken},
                             {"logger", "zap", taken},
                             {"strict-reconfig-check", "true", taken},
                             {"pre-vote", "true", taken},
                             {"cors", "*", taken},
                             {"host-whitelist", "*", taken},
                             {"wal-dir", "w", warned},
                             {"max-wals", "5", warned},
                             {"max-snapshots", "5", warned},
                             {"peer-skip-client-san-verification", "true", warned},
                             {"max-concurrent-streams", "10", warned},
                             {"auth-token", "simple", taken},
                             {"auth-token-ttl", "300", taken},
                             {"bcrypt-cost", "10", taken},
                             {"enable-grpc-gateway", "true", warned},
                             {"metrics", "basic", warned},
                             {"initial-election-tick-advance", "true", warned},
                             {"unsafe-no-fsync", "true", warned},
                             {"feature-gates", "InitialCorruptCheck=true", warned},
                             {"grpc-keepalive-min-time", "5s", warned},
                             {"grpc-keepalive-interval", "2h", warned},
                             {"grpc-keepalive-timeout", "20s", warned},
                             {"warning-apply-duration", "100ms", warned},
                             {"experimental-warning-apply-duration", "100ms", warned},
                             {"warning-unary-request-duration", "300ms", warned},
                             {"experimental-warning-unary-request-duration", "300ms", warned},
                             {"corrupt-check-time", "1h", warned},
                             {"experimental-corrupt-check-time", "1h", warned},
                             {"experimental-initial-corrupt-check", "true", warned},
                             {"compact-hash-check-time", "1m", warned},
                             {"experimental-compact-hash-check-enabled", "true", warned},
                             {"experimental-compact-hash-check-time", "1m", warned},
                             {"compaction-batch-limit", "1000", warned},
                             {"experimental-compaction-batch-limit", "1000", warned},
                             {"compaction-sleep-interval", "10ms", warned},
                             {"experimental-compaction-sleep-interval", "10ms", warned},
                             {"enable-pprof", "true", warned},
                             {"backend-bbolt-freelist-type", "map", warned},
                             {"experimental-backend-bbolt-freelist-type", "map", warned},
                             {"backend-batch-interval", "0", warned},
                             {"backend-batch-limit", "0", warned},
                             {"memory-mlock", "true", warned},
                             {"experimental-memory-mlock", "true", warned},
                             {"bootstrap-defrag-threshold-megabytes", "1", warned},
                             {"experimental-bootstrap-defrag-threshold-megabytes", "1", warned},
                             {"socket-reuse-port", "true", warned},
                             {"socket-reuse-address", "true", warned},
                             {"raft-read-timeout", "5s", warned},
                             {"raft-write-timeout", "5s", warned},
                             {"enable-log-rotation", "true", warned},
                             {"log-rotation-config-json", "{}", warned},
                             {"log-package-levels", "a=DEBUG", warned},
                             {"enable-distributed-tracing", "true", warned},
                             {"experimental-enable-distributed-tracing", "true", warned},
                             {"experimental-distributed-tracing-address", "a:1", warned},
                             {"experimental-distributed-tracing-service-name", "s", warned},
                             {"experimental-distributed-tracing-instance-id", "i", warned},
                             {"experimental-distributed-tracing-sampling-rate", "1", warned},
                             {"distributed-tracing-sampling-rate", "1", warned},
                             {"downgrade-check-time", "5s", warned},
                             {"experimental-downgrade-check-time", "5s", warned},
                             {"experimental-enable-lease-checkpoint", "true", warned},
                             {"experimental-enable-lease-checkpoint-persist", "true", warned},
                             {"experimental-stop-grpc-service-on-defrag", "true", warned},
                             {"experimental-txn-mode-write-with-shared-buffer", "true", warned},
                             {"experimental-set-member-localaddr", "true", warned},
                             {"experimental-enable-v2v3", "/p", warned},
                             {"discovery-srv-name", "s", warned},
                             {"discovery-fallback", "exit", warned},
                             {"discovery-proxy", "p", warned},
                             {"discovery-token", "t", warned},
                             {"discovery-endpoints", "e", warned},
                             {"discovery-dial-timeout", "2s", warned},
                             {"enable-v2", "false", warned},
                             {"v2-deprecation", "write-only", warned},
                             {"debug", "true", warned},
                             {"proxy-failure-wait", "5000", warned},
                             {"proxy-refresh-interval", "30000", warned},
                             {"proxy-dial-timeout", "1000", warned},
                             {"proxy-write-timeout", "5000", warned},
                             {"proxy-read-timeout", "0", warned},
                             {"client-cert-file", "c", warned},
                             {"client-key-file", "k", warned},
                             {"peer-client-cert-file", "c", taken},
                             {"peer-client-key-file", "k", taken},
                             {"force-new-cluster", "true", taken},
                             {"discovery", "http://d", refused},
                             {"discovery-srv", "d", refused},
                             {"proxy", "on", refused}};

std::string plain_name(const std::string& name) {
  constexpr std::string_view prefix = "experimental-";
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

bool warns_with_reason(const std::vector<std::string>& warnings) {
  return std::ranges::any_of(warnings, [](const std::string& warning) {
    return warning.find("no effect here: ") != std::string::npos;
  });
}

TEST(Settings, EveryFlagOfEtcdByFlag) {
  for (const Flag& flag : kFlagsOfEtcd) {
    for (const std::string dashes : {"--", "-"}) {
      const auto got = gather_settings({dashes + flag.name + "=" + flag.value}, {});
      EXPECT_EQ(got.has_value(), flag.fate != Fate::refused) << flag.name;
      if (!got) {
        EXPECT_NE(got.error().text.find(flag.name), std::string::npos) << got.error().text;
        continue;
      }
      EXPECT_EQ(got->settings.contains(plain_name(flag.name)), flag.fate == Fate::taken)
          << flag.name;
      EXPECT_EQ(warns_with_reason(got->warnings), flag.fate == Fate::warned) << flag.name;
    }
  }
}

TEST(Settings, EveryFlagOfEtcdByVariable) {
  for (const Flag& flag : kFlagsOfEtcd) {
    std::string name = "ETCD_" + flag.name;
    std::ranges::transform(name, name.begin(), [](unsigned char letter) {
      return static_cast<char>(letter == '-' ? '_' : std::toupper(letter));
    });
    const auto got = gather_settings({}, {name + "=" + flag.value});
    ASSERT_TRUE(got.has_value()) << name << ": variables never stop a start, as in etcd";
    EXPECT_EQ(got->settings.contains(plain_name(flag.name)), flag.fate == Fate::taken) << name;
    EXPECT_EQ(warns_with_reason(got->warnings), flag.fate == Fate::warned) << name;
  }
}

TEST(Settings, EveryFlagOfEtcdInAFile) {
  for (const Flag& flag : kFlagsOfEtcd) {
    const std::string yaml = flag.name + ": '" + flag.value + "'\n";
    const std::string json = "{\"" + flag.name + "\": \"" + flag.value + "\"}";
    for (const std::string& text : {yaml, json}) {
      std::vector<std::string> warnings;
      const auto got = settings_from_yaml(text, "file", warnings);
      EXPECT_EQ(got.has_value(), flag.fate != Fate::refused) << text;
      if (!got) continue;
      EXPECT_EQ(got->contains(plain_name(flag.name)), flag.fate == Fate::taken) << text;
      EXPECT_EQ(warns_with_reason(warnings), flag.fate == Fate::warned) << text;
    }
  }
}

TEST(Settings, AMistypedNameMeetsTheOneThatWasMeant) {
  const std::pair<const char*, const char*> cases[] = {
      {"--nmae=x", "did you mean --name"},
      {"--listen-client-url=x", "did you mean --listen-client-urls"},
      {"--elction-timeout=5", "did you mean --election-timeout"},
      {"--unlike-anything-known=1", "unknown setting --unlike-anything-known;"}};
  for (const auto& [argument, part] : cases) {
    const auto got = gather_settings({argument}, {});
    ASSERT_FALSE(got.has_value()) << argument;
    EXPECT_NE(got.error().text.find(part), std::string::npos) << got.error().text;
  }
  EXPECT_EQ(closest_name("", {}), "");
}

TEST(Settings, SwitchesNeedNoValue) {
  for (const ForeignSetting& each : foreign_settings()) {
    const auto got = gather_settings({"--" + std::string(each.name)}, {});
    EXPECT_EQ(got.has_value(), each.is_switch) << each.name;
    EXPECT_FALSE(each.reason.empty()) << each.name;
  }
}

TEST(Settings, LogSettingsAreChecked) {
  EXPECT_TRUE(make_config({{"log-format", "json"}, {"log-outputs", "stdout,/tmp/x"}}, "quorate"));
  EXPECT_FALSE(make_config({{"log-format", "xml"}}, "quorate"));
  EXPECT_FALSE(make_config({{"logger", "capnslog"}}, "quorate"));
}

}  // namespace
}  // namespace quorate::app
