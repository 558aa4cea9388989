#include "app/config.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "app/durations.h"
#include "front/grpc/limits.h"

namespace quorate::app {
namespace {

constexpr uint64_t kHeartbeatsPerElectionMin = 5;  // fewer, and one lost message elects
constexpr uint64_t kElectionMillisecondsMax = 50000;

constexpr uint64_t kTokenSecondsMax = uint64_t{10} * 365 * 24 * 3600;
// bcrypt's own bounds; each step doubles the work, and the largest takes days.
constexpr uint64_t kBcryptCostMin = 4;
constexpr uint64_t kBcryptCostMax = 31;

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

// Reads settings one by one and keeps the first error.
class Reader {
 public:
  explicit Reader(const Settings& settings) : settings_(settings) {}

  bool given(const std::string& name) const { return settings_.contains(name); }
  void text(const std::string& name, std::string& target) const {
    if (const auto at = settings_.find(name); at != settings_.end()) target = at->second;
  }
  void boolean(const std::string& name, bool& target) {
    const auto at = settings_.find(name);
    if (at == settings_.end()) return;
    const std::string& value = at->second;
    if (value != "true" && value != "false" && value != "1" && value != "0") {
      return reject("--" + name + ": " + quoted(value) + " is neither true nor false");
    }
    target = value == "true" || value == "1";
  }
  void number(const std::string& name, uint64_t low, uint64_t high, uint64_t& target) {
    const auto at = settings_.find(name);
    if (at == settings_.end()) return;
    const std::string& value = at->second;
    uint64_t parsed = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    if (error != std::errc() || end != value.data() + value.size() || parsed < low ||
        parsed > high) {
      return reject("--" + name + ": " + quoted(value) + " is not a whole number between " +
                    std::to_string(low) + " and " + std::to_string(high));
    }
    target = parsed;
  }
  void duration(const std::string& name, Duration& target) {
    const auto at = settings_.find(name);
    if (at == settings_.end()) return;
    const std::optional<Duration> parsed = parse_duration(at->second);
    if (!parsed) {
      return reject("--" + name + ": " + quoted(at->second) +
                    " is no duration; write it like 5s, 10m or 1m30s");
    }
    target = *parsed;
  }
  void list(const std::string& name, std::vector<std::string>& target) const {
    std::string joined;
    text(name, joined);
    target = split(joined, ',');
  }
  void urls(const std::string& name, const std::string& fallback, std::vector<Url>& target) {
    std::string list = fallback;
    text(name, list);
    auto parsed = parse_urls(name, list);
    if (!parsed) return reject(parsed.error().text);
    target = std::move(*parsed);
  }
  void listen_urls(const std::string& name, const std::string& fallback, std::vector<Url>& target) {
    urls(name, fallback, target);
    for (const Url& url : target) {
      if (auto fine = check_listen_url(name, url); !fine) reject(fine.error().text);
    }
  }
  void list(const std::string& name, std::vector<std::string>& target) {
    std::string all;
    text(name, all);
    if (!all.empty()) target = split(all, ',');
  }
  void reject(std::string why) {
    if (error_.empty()) error_ = std::move(why);
  }
  const std::string& error() const { return error_; }

 private:
  const Settings& settings_;
  std::string error_;
};

void read_auth(Reader& reader, ServeConfig& config) {
  reader.text("auth-token", config.auth_token);
  if (config.auth_token.empty()) config.auth_token = "simple";
  if (config.auth_token != "simple" && !config.auth_token.starts_with("jwt,")) {
    reader.reject("--auth-token: " + quoted(config.auth_token) +
                  " is neither simple nor jwt,sign-method=...,pub-key=FILE,priv-key=FILE");
  }
  reader.number("auth-token-ttl", 1, kTokenSecondsMax, config.auth_token_seconds);
  reader.number("client-threads", 0, front::grpc::kClientThreadsMax, config.client_threads);
  reader.number("bcrypt-cost", kBcryptCostMin, kBcryptCostMax, config.bcrypt_cost);
}

void read_log(Reader& reader, LogOptions& log) {
  std::string format = "console";
  reader.text("log-format", format);
  log.json = format == "json";
  if (format != "json" && format != "console") {
    reader.reject("--log-format: " + quoted(format) + " is neither json nor console");
  }
  std::string logger = "zap";
  reader.text("logger", logger);
  if (logger != "zap") {
    reader.reject("--logger: " + quoted(logger) + " does not exist here; leave it out, or say zap");
  }
  std::string outputs = "default";
  reader.text("log-outputs", outputs);
  log.outputs = split(outputs, ',');
  if (log.outputs.empty()) log.outputs = {"default"};
}

void read_times_and_limits(Reader& reader, ServeConfig& config) {
  reader.number("heartbeat-interval", 1, 10000, config.heartbeat_milliseconds);
  reader.number("election-timeout", 1, kElectionMillisecondsMax, config.election_milliseconds);
  if (config.election_milliseconds < kHeartbeatsPerElectionMin * config.heartbeat_milliseconds) {
    reader.reject("--election-timeout (" + std::to_string(config.election_milliseconds) +
                  " ms) must be at least 5 times --heartbeat-interval (" +
                  std::to_string(config.heartbeat_milliseconds) +
                  " ms), or a late heartbeat would start an election");
  }
  reader.number("snapshot-count", 1, uint64_t{1} << 40U, config.snapshot_count);
  reader.number("snapshot-catchup-entries", 0, uint64_t{1} << 40U, config.catch_up_entries);
  reader.duration("watch-progress-notify-interval", config.watch_progress_interval);
  reader.number("scrub-rate", 0, uint64_t{1} << 40U, config.scrub_bytes_per_second);
  reader.number("max-request-bytes", 1024, uint64_t{64} << 20U, config.request_bytes_max);
  reader.number("max-txn-ops", 1, 100000, config.txn_operations_max);
  reader.number("max-learners", 0, 100, config.learners_max);
  read_auth(reader, config);
  reader.boolean("strict-reconfig-check", config.strict_reconfig_check);
  reader.boolean("pre-vote", config.pre_vote);
  reader.list("cors", config.cors);
  reader.list("host-whitelist", config.host_whitelist);
  reader.text("log-level", config.log.level);
  static const std::set<std::string> levels = {"debug", "info", "warn", "error", "panic", "fatal"};
  if (!levels.contains(config.log.level)) {
    reader.reject("--log-level: " + quoted(config.log.level) +
                  " is none of debug, info, warn, error, panic, fatal");
  }
  read_log(reader, config.log);
}

// etcd: 0 means the default of 2 GiB, a negative number switches the quota off.
void read_quota(Reader& reader, const Settings& settings, ServeConfig& config) {
  const auto at = settings.find("quota-backend-bytes");
  if (at == settings.end() || at->second == "0") return;
  if (at->second.starts_with('-') && at->second.size() > 1) {
    config.quota_bytes = 0;
    return;
  }
  reader.number("quota-backend-bytes", 1, uint64_t{1} << 50U, config.quota_bytes);
}

// A plain number is hours in one mode and revisions in the other.
void read_compaction(Reader& reader, ServeConfig& config) {
  constexpr uint64_t kHoursMax = uint64_t{24} * 365 * 100;
  std::string mode = "periodic";
  std::string retention = "0";
  reader.text("auto-compaction-mode", mode);
  reader.text("auto-compaction-retention", retention);
  if (mode != "periodic" && mode != "revision") {
    return reader.reject("--auto-compaction-mode: " + quoted(mode) +
                         " is neither periodic nor revision");
  }
  if (retention.empty() || retention == "0") return;
  const bool plain = retention.find_first_not_of("0123456789") == std::string::npos;
  front::etcd::CompactionRule& rule = config.compaction;
  uint64_t number = 0;
  if (mode == "revision") {
    reader.number("auto-compaction-retention", 0, uint64_t{1} << 60U, number);
    rule.revisions = static_cast<int64_t>(number);
  } else if (plain) {
    reader.number("auto-compaction-retention", 0, kHoursMax, number);
    rule.period = std::chrono::hours(number);
  } else {
    reader.duration("auto-compaction-retention", rule.period);
  }
  const bool set = rule.revisions > 0 || rule.period > Duration::zero();
  if (!set) return;
  rule.mode = mode == "revision" ? front::etcd::CompactionMode::revisions
                                 : front::etcd::CompactionMode::periodic;
}

void read_cluster(Reader& reader, ServeConfig& config, const std::string& list) {
  for (const std::string& part : split(list, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) {
      return reader.reject("--initial-cluster: " + quoted(part) +
                           " is not name=URL; write it like n1=http://10.0.0.1:2380");
    }
    const std::string name = part.substr(0, equals);
    auto urls = parse_urls("initial-cluster", part.substr(equals + 1));
    if (!urls) return reader.reject(urls.error().text);
    auto at = std::ranges::find(config.cluster, name, &FoundingMember::name);
    if (at == config.cluster.end()) at = config.cluster.insert(at, {name, {}});
    at->peer_urls.insert(at->peer_urls.end(), urls->begin(), urls->end());
  }
}

void check_cluster(Reader& reader, const ServeConfig& config) {
  const auto self = std::ranges::find(config.cluster, config.name, &FoundingMember::name);
  if (self == config.cluster.end()) {
    return reader.reject("--initial-cluster does not contain this member: it must have an entry " +
                         quoted(config.name + "=" + config.advertise_peer.front().text) +
                         ", or --name must be one of its names");
  }
  std::set<std::string> in_cluster;
  for (const Url& url : self->peer_urls) in_cluster.insert(url.dial_address());
  std::set<std::string> advertised;
  for (const Url& url : config.advertise_peer) advertised.insert(url.dial_address());
  if (in_cluster != advertised) {
    return reader.reject(
        "--initial-cluster gives " + quoted(config.name) + " as " +
        quoted(self->peer_urls.front().text) + " but --initial-advertise-peer-urls says " +
        quoted(config.advertise_peer.front().text) + "; both must name the same peer URLs");
  }
  std::set<std::string> seen;
  for (const FoundingMember& member : config.cluster) {
    for (const Url& url : member.peer_urls) {
      if (!seen.insert(url.address()).second) {
        return reader.reject("--initial-cluster names " + quoted(url.text) +
                             " twice; every member needs peer URLs of its own");
      }
    }
  }
}

void read_addresses(Reader& reader, ServeConfig& config) {
  const std::string client = "http://localhost:2379";
  const std::string peer = "http://localhost:2380";
  if (reader.given("listen-client-urls") && !reader.given("advertise-client-urls")) {
    reader.reject(
        "--advertise-client-urls is required when --listen-client-urls is set explicitly: say "
        "under which URLs clients reach this member");
  }
  reader.listen_urls("listen-client-urls", client, config.listen_client);
  reader.urls("advertise-client-urls", client, config.advertise_client);
  if (reader.given("listen-client-http-urls")) {
    reader.listen_urls("listen-client-http-urls", "", config.listen_client_http);
  }
  if (reader.given("listen-metrics-urls")) {
    reader.listen_urls("listen-metrics-urls", "", config.listen_metrics);
  }
  reader.listen_urls("listen-peer-urls", peer, config.listen_peer);
  reader.urls("initial-advertise-peer-urls", peer, config.advertise_peer);
}

void read_transport(Reader& reader, bool peers, TransportConfig& transport) {
  const std::string prefix = peers ? "peer-" : "";
  reader.text(prefix + "cert-file", transport.certificate_file);
  reader.text(prefix + "key-file", transport.key_file);
  reader.text(prefix + "trusted-ca-file", transport.authorities_file);
  reader.text(peers ? "peer-crl-file" : "client-crl-file", transport.revoked_file);
  reader.boolean(prefix + "client-cert-auth", transport.certificate_authentication);
  reader.boolean(prefix + "auto-tls", transport.automatic);
  if (peers) reader.list("peer-cert-allowed-cn", transport.allowed_names);
  reader.list(peers ? "peer-cert-allowed-hostname" : "client-cert-allowed-hostname",
              transport.allowed_hosts);
  if (peers) {
    reader.text("peer-client-cert-file", transport.dialling_certificate_file);
    reader.text("peer-client-key-file", transport.dialling_key_file);
    if (transport.dialling_certificate_file.empty() != transport.dialling_key_file.empty()) {
      reader.reject("--peer-client-cert-file and --peer-client-key-file go together; give both");
    }
  }
  if (transport.certificate_file.empty() != transport.key_file.empty()) {
    reader.reject("--" + prefix + "cert-file and --" + prefix +
                  "key-file go together: a certificate is of no use without its key; give both");
  }
  if (!transport.allowed_names.empty() && !transport.allowed_hosts.empty()) {
    reader.reject(
        "--peer-cert-allowed-cn and --peer-cert-allowed-hostname exclude each other; give one");
  }
  const bool picks = !transport.allowed_names.empty() || !transport.allowed_hosts.empty() ||
                     !transport.revoked_file.empty();
  if (picks && !transport.demands_certificate()) {
    reader.reject("flags that pick among certificates of " +
                  std::string(peers ? "members" : "clients") + " need one to be shown: add --" +
                  prefix + "client-cert-auth and --" + prefix + "trusted-ca-file");
  }
}

// Never less than what was asked for: https without a certificate does not start, and a
// certificate that no URL uses is warned of.
void check_certificate(Reader& reader, const std::string& flag, const std::vector<Url>& listened,
                       const TransportConfig& transport) {
  const std::string prefix = flag == "--listen-peer-urls" ? "peer-" : "";
  for (const Url& url : listened) {
    if (url.secure && !transport.has_certificate()) {
      reader.reject(flag + ": " + quoted(url.text) + " is to be served by TLS, which needs --" +
                    prefix + "cert-file and --" + prefix + "key-file, or --" + prefix + "auto-tls");
    }
  }
}

void check_transport(Reader& reader, bool peers, const std::vector<Url>& listened,
                     const TransportConfig& transport, std::vector<std::string>& warnings) {
  const std::string prefix = peers ? "peer-" : "";
  const std::string flag = peers ? "--listen-peer-urls" : "--listen-client-urls";
  check_certificate(reader, flag, listened, transport);
  for (const Url& url : listened) {
    if (!url.secure && transport.has_certificate()) {
      warnings.push_back(flag + ": " + quoted(url.text) +
                         " is plain although there is a certificate, which is not used for this "
                         "URL; write https:// to secure it");
    }
    if (!url.secure && transport.demands_certificate()) {
      warnings.push_back(flag + ": " + quoted(url.text) +
                         " is plain: no certificates are demanded there, although --" + prefix +
                         "client-cert-auth or --" + prefix + "trusted-ca-file asks for it");
    }
  }
  if (transport.automatic && !transport.certificate_file.empty()) {
    warnings.push_back("--" + prefix + "auto-tls is ignored: there is a certificate file");
  }
}

void read_security(Reader& reader, ServeConfig& config) {
  read_transport(reader, false, config.client_transport);
  read_transport(reader, true, config.peer_transport);
  reader.list("cipher-suites", config.cipher_suites);
  reader.text("tls-min-version", config.tls_version_min);
  reader.text("tls-max-version", config.tls_version_max);
  reader.number("self-signed-cert-validity", 1, 100, config.self_signed_years);
  check_transport(reader, false, config.listen_client, config.client_transport, config.warnings);
  check_certificate(reader, "--listen-client-http-urls", config.listen_client_http,
                    config.client_transport);
  check_certificate(reader, "--listen-metrics-urls", config.listen_metrics,
                    config.client_transport);
  check_transport(reader, true, config.listen_peer, config.peer_transport, config.warnings);
}

void read_membership(Reader& reader, ServeConfig& config) {
  std::string list;
  if (!reader.given("initial-cluster")) {
    for (const Url& url : config.advertise_peer) {
      list += (list.empty() ? "" : ",") + config.name + "=" + url.text;
    }
  }
  config.bootstrap = reader.given("bootstrap-seeds");
  if (config.bootstrap && reader.given("initial-cluster")) {
    reader.reject("--bootstrap-seeds and --initial-cluster both name the members; use one of them");
  }
  reader.text(config.bootstrap ? "bootstrap-seeds" : "initial-cluster", list);
  reader.text("initial-cluster-token", config.token);
  std::string state = "new";
  reader.text("initial-cluster-state", state);
  if (state != "new" && state != "existing") {
    reader.reject("--initial-cluster-state: " + quoted(state) + " is neither new nor existing");
  }
  if (config.bootstrap && state != "new") {
    reader.reject(
        "--bootstrap-seeds founds a cluster; a member that was added to one is started "
        "with --initial-cluster instead");
  }
  reader.boolean("force-new-cluster", config.force_new_cluster);
  config.start = state == "new" ? node::Start::new_cluster : node::Start::existing_cluster;
  std::string protocol = "raft";
  config.protocol_given = reader.given("consensus");
  reader.text("consensus", protocol);
  if (auto named = consensus::protocol_named(protocol)) {
    config.protocol = *named;
  } else {
    reader.reject("--consensus: " + quoted(protocol) + " is not a protocol of this version; use " +
                  consensus::protocol_names());
  }
  if (!reader.error().empty()) return;
  read_cluster(reader, config, list);
  if (reader.error().empty()) check_cluster(reader, config);
}

}  // namespace

Result<ServeConfig> make_config(const Settings& settings, const std::string& program) {
  ServeConfig config;
  Reader reader(settings);
  reader.text("name", config.name);
  if (config.name.empty() || config.name.find_first_of("=,/") != std::string::npos) {
    reader.reject("--name: " + quoted(config.name) +
                  " must not be empty nor contain '=', ',' or '/'");
  }
  config.data_directory = config.name + "." + program;
  reader.text("data-dir", config.data_directory);
  if (config.data_directory.empty()) config.data_directory = config.name + "." + program;
  read_addresses(reader, config);
  if (reader.error().empty()) read_security(reader, config);
  read_times_and_limits(reader, config);
  read_quota(reader, settings, config);
  read_compaction(reader, config);
  if (reader.error().empty()) read_membership(reader, config);
  if (!reader.error().empty()) return fail(ErrorKind::invalid, reader.error());
  return config;
}

}  // namespace quorate::app
