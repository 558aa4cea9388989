#include "app/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "app/foreign_settings.h"

namespace quorate::app {
namespace {

struct Known {
  std::string_view name;
  std::string_view fallback;
  std::string_view help;
};

constexpr Known kKnown[] = {
    {"name", "default", "name of this member"},
    {"data-dir", "${name}.quorate", "where everything this member knows is kept"},
    {"listen-client-urls", "http://localhost:2379", "URLs to serve clients on"},
    {"advertise-client-urls", "http://localhost:2379", "client URLs told to the others"},
    {"listen-client-http-urls", "", "URLs for HTTP and JSON; the ones above serve gRPC only then"},
    {"listen-metrics-urls", "", "URLs for health and metrics only, beside those for clients"},
    {"listen-peer-urls", "http://localhost:2380", "URLs to listen on for the other members"},
    {"initial-advertise-peer-urls", "http://localhost:2380", "peer URLs told to the others"},
    {"initial-cluster", "${name}=${initial-advertise-peer-urls}", "the members, name=URL,..."},
    {"bootstrap-seeds", "", "instead of --initial-cluster: seeds, name=URL,..., that first agree"},
    {"initial-cluster-state", "new", "new or existing"},
    {"force-new-cluster", "false", "go on alone with what this member knows; for lost majorities"},
    {"initial-cluster-token", "etcd-cluster", "keeps clusters apart that share URLs"},
    {"heartbeat-interval", "100", "milliseconds between heartbeats of a leader"},
    {"election-timeout", "1000", "milliseconds within which a silent leader is replaced"},
    {"snapshot-count", "10000", "applied entries between log truncations"},
    {"snapshot-catchup-entries", "5000", "entries kept for slow followers"},
    {"scrub-rate", "4194304", "bytes a second of log and store read again to find rot; 0: none"},
    {"quota-backend-bytes", "0", "store size that stops writes; 0: 2 GiB, negative: none"},
    {"auto-compaction-mode", "periodic", "what the retention counts: periodic or revision"},
    {"auto-compaction-retention", "0", "history kept: hours, or like 30m; or revisions; 0: all"},
    {"max-request-bytes", "1572864", "largest request a client may send"},
    {"max-txn-ops", "128", "operations allowed in one transaction"},
    {"watch-progress-notify-interval", "10m", "how often silent watchers hear of progress"},
    {"client-threads", "0", "threads for clients' connections and TLS; 0: the node's own"},
    {"max-learners", "1", "learners the cluster may have"},
    {"auth-token", "simple", "how callers are known: simple, or jwt,sign-method=RS256,..."},
    {"auth-token-ttl", "300", "seconds that a simple token lives after its last use"},
    {"bcrypt-cost", "10", "work to hash a password, as a power of two"},
    {"strict-reconfig-check", "true", "refuse changes of members that endanger the majority"},
    {"pre-vote", "true", "ask before starting an election"},
    {"cors", "*", "origins whose pages may read what plain HTTP answers"},
    {"host-whitelist", "*", "names under which plain HTTP is answered"},
    {"consensus", "raft", "protocol of a new cluster's log"},
    {"cert-file", "", "certificate shown to clients on https:// URLs, PEM"},
    {"key-file", "", "its key"},
    {"trusted-ca-file", "", "authorities of clients' certificates; one is demanded then"},
    {"client-cert-auth", "false", "demand certificates of clients; they say who the client is"},
    {"client-crl-file", "", "revoked certificates of clients, PEM or DER"},
    {"client-cert-allowed-hostname", "", "a client's certificate must be for one of these hosts"},
    {"auto-tls", "false", "without --cert-file: a certificate of our own making"},
    {"peer-cert-file", "", "certificate shown to the other members, PEM"},
    {"peer-key-file", "", "its key"},
    {"peer-client-cert-file", "", "certificate for dialling members; none: --peer-cert-file"},
    {"peer-client-key-file", "", "its key"},
    {"peer-trusted-ca-file", "", "authorities of members' certificates; one is demanded then"},
    {"peer-client-cert-auth", "false", "demand certificates of the other members"},
    {"peer-crl-file", "", "revoked certificates of members, PEM or DER"},
    {"peer-cert-allowed-cn", "", "a member's certificate must have one of these common names"},
    {"peer-cert-allowed-hostname", "", "a member's certificate must be for one of these hosts"},
    {"peer-auto-tls", "false", "without --peer-cert-file: a certificate of our own making"},
    {"cipher-suites", "", "allowed ones, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,..."},
    {"tls-min-version", "TLS1.2", "TLS1.2 or TLS1.3"},
    {"tls-max-version", "TLS1.3", "TLS1.2 or TLS1.3"},
    {"self-signed-cert-validity", "1", "years that certificates of our own making are valid"},
    {"log-level", "info", "debug, info, warn, error, panic or fatal"},
    {"logger", "zap", "only zap: the form that --log-format says"},
    {"log-format", "console", "json: one object a line, as etcd's; console: for people"},
    {"log-outputs", "default", "default, stderr, stdout or files, with commas"},
    {"config-file", "", "YAML file with these names as keys; flags and ETCD_* are ignored then"},
};

// Switches that promise protection: starting without it would be a lie, so they are refused.
constexpr std::string_view kNotYet[] = {"discovery", "discovery-srv", "proxy"};

bool contains(auto const& list, std::string_view name) {
  return std::ranges::find(list, name) != std::end(list);
}

bool is_known(std::string_view name) {
  return std::ranges::find(kKnown, name, &Known::name) != std::end(kKnown);
}

// etcd gave many flags a plain name once they had proven themselves; deployments use both.
std::string present_name(const std::string& name) {
  constexpr std::string_view kBefore = "experimental-";
  if (!name.starts_with(kBefore)) return name;
  const std::string plain = name.substr(kBefore.size());
  return is_known(plain) || find_foreign(plain) != nullptr ? plain : name;
}

std::string did_you_mean(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Known& known : kKnown) names.push_back(known.name);
  for (const ForeignSetting& foreign : foreign_settings()) names.push_back(foreign.name);
  const std::string closest = closest_name(name, names);
  return closest.empty() ? "" : ", did you mean --" + closest + "?";
}

std::string no_effect(const std::string& spelled, const ForeignSetting& foreign) {
  return spelled +
         " is accepted for etcd's sake and has no effect here: " + std::string(foreign.reason);
}

bool is_switch(std::string_view name) {
  static constexpr std::string_view switches[] = {"pre-vote",
                                                  "strict-reconfig-check",
                                                  "client-cert-auth",
                                                  "auto-tls",
                                                  "peer-client-cert-auth",
                                                  "peer-auto-tls",
                                                  "force-new-cluster",
                                                  "version",
                                                  "help"};
  const ForeignSetting* foreign = find_foreign(name);
  return contains(switches, name) || (foreign != nullptr && foreign->is_switch);
}

enum class Verdict { take, skip };

// Where a name leads: into the settings, to a warning, or to an error.
Result<Verdict> judge(const std::string& name, const std::string& spelled,
                      std::vector<std::string>& warnings) {
  if (is_known(name)) return Verdict::take;
  if (const ForeignSetting* foreign = find_foreign(name)) {
    warnings.push_back(no_effect(spelled, *foreign));
    return Verdict::skip;
  }
  if (name.starts_with("experimental-")) {
    warnings.push_back(spelled + " has no effect here: etcd's experiments do not exist");
    return Verdict::skip;
  }
  if (contains(kNotYet, name)) {
    return fail(ErrorKind::invalid, spelled +
                                        " asks for something quorate does not do yet; remove it, "
                                        "nothing was started");
  }
  return fail(ErrorKind::invalid, "unknown setting " + spelled + did_you_mean(name) +
                                      "; `quorate serve --help` lists those that exist");
}

Result<void> read_flags(const std::vector<std::string>& arguments, Gathered& gathered) {
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& spelled = arguments[at];
    if (spelled.size() < 2 || spelled[0] != '-') {
      return fail(ErrorKind::invalid,
                  "\"" + spelled + "\" is not a flag; did a value lose its flag?");
    }
    std::string name = spelled.substr(spelled.starts_with("--") ? 2 : 1);
    std::optional<std::string> value;
    if (const size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    name = present_name(name);
    if (name == "version") gathered.version = true;
    if (name == "help" || name == "h") gathered.help = true;
    if (gathered.version || gathered.help) return {};
    auto verdict = judge(name, "--" + name, gathered.warnings);
    if (!verdict) return std::unexpected(verdict.error());
    if (!value && is_switch(name)) value = "true";
    if (!value) {
      if (at + 1 >= arguments.size()) {
        return fail(ErrorKind::invalid, "--" + name + " needs a value");
      }
      value = arguments[++at];
    }
    if (*verdict == Verdict::take) gathered.settings[name] = *value;
  }
  return {};
}

void read_environment(const std::vector<std::string>& environment, Gathered& gathered) {
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (!entry.starts_with("ETCD_") || equals == std::string::npos) continue;
    std::string name = entry.substr(5, equals - 5);
    std::ranges::transform(name, name.begin(), [](unsigned char letter) {
      return static_cast<char>(letter == '_' ? '-' : std::tolower(letter));
    });
    name = present_name(name);
    if (gathered.settings.contains(name) || equals + 1 == entry.size()) continue;
    if (is_known(name)) {
      gathered.settings[name] = entry.substr(equals + 1);
    } else if (const ForeignSetting* foreign = find_foreign(name)) {
      gathered.warnings.push_back(
          no_effect("environment variable " + entry.substr(0, equals), *foreign));
    } else {
      // etcd only warns about variables: container images set many.
      gathered.warnings.push_back("environment variable " + entry.substr(0, equals) +
                                  " is unknown or has no effect here");
    }
  }
}

std::unexpected<Error> not_plain(const std::string& origin, const std::string& name) {
  return fail(ErrorKind::invalid, origin + ": \"" + name + "\" must be one plain value");
}

// The names that etcd gives the same things inside client-transport-security and
// peer-transport-security; empty: there is no such thing.
std::string name_in_section(const std::string& section, const std::string& name) {
  const bool peers = section.starts_with("peer");
  const std::string prefix = peers ? "peer-" : "";
  if (name == "allowed-hostname") return prefix + (peers ? "" : "client-") + "cert-" + name;
  if (name == "crl-file") return (peers ? "peer-" : "client-") + name;
  if (name == "allowed-cn") return peers ? "peer-cert-allowed-cn" : "";
  return is_known(prefix + name) ? prefix + name : "";
}

bool is_section(const std::string& name) {
  return name == "client-transport-security" || name == "peer-transport-security";
}

// One value, or a list of them as flags have it.
std::optional<std::string> value_of(const YAML::Node& node) {
  if (node.IsScalar()) return node.as<std::string>();
  if (node.IsNull()) return "";
  if (!node.IsSequence()) return std::nullopt;
  std::string list;
  for (const auto& each : node) {
    if (!each.IsScalar()) return std::nullopt;
    list += (list.empty() ? "" : ",") + each.as<std::string>();
  }
  return list;
}

Result<void> read_section(const std::string& section, const YAML::Node& node,
                          const std::string& origin, Settings& settings,
                          std::vector<std::string>& warnings) {
  if (!node.IsMap()) {
    return fail(ErrorKind::invalid,
                origin + ": expected lines like \"cert-file: n1.pem\" below \"" + section + "\"");
  }
  for (const auto& entry : node) {
    const auto spelled = entry.first.as<std::string>();
    const std::string name = name_in_section(section, spelled);
    const std::string place = "\"" + section + "." + spelled + "\"";
    if (name.empty()) {
      auto verdict = judge(spelled, place, warnings);
      if (verdict && *verdict == Verdict::skip) continue;
      return fail(ErrorKind::invalid, origin + ": " + place + " is not known here");
    }
    const auto value = value_of(entry.second);
    if (!value) return not_plain(origin, section + "." + spelled);
    if (!value->empty()) settings[name] = *value;
  }
  return {};
}

}  // namespace

Result<Settings> settings_from_yaml(const std::string& text, const std::string& origin,
                                    std::vector<std::string>& warnings) {
  Settings settings;
  try {  // yaml-cpp reports by exceptions; they end here
    const YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) {
      return fail(ErrorKind::invalid, origin + ": expected lines like \"name: n1\"");
    }
    for (const auto& entry : root) {
      const std::string name = present_name(entry.first.as<std::string>());
      if (is_section(name)) {
        auto read = read_section(name, entry.second, origin, settings, warnings);
        if (!read) return std::unexpected(read.error());
        continue;
      }
      auto verdict = judge(name, "\"" + name + "\"", warnings);
      if (!verdict) return fail(ErrorKind::invalid, origin + ": " + verdict.error().text);
      if (*verdict == Verdict::skip) continue;
      const bool list = name == "cipher-suites" || name.starts_with("peer-cert-allowed");
      const auto value = value_of(entry.second);
      if (!value || (!entry.second.IsScalar() && !list)) return not_plain(origin, name);
      settings[name] = *value;
    }
  } catch (const YAML::Exception& problem) {
    return fail(ErrorKind::invalid, origin + ": not valid YAML: " + problem.what());
  }
  return settings;
}

Result<Gathered> gather_settings(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment) {
  Gathered gathered;
  if (auto read = read_flags(arguments, gathered); !read) return std::unexpected(read.error());
  if (gathered.version || gathered.help) return gathered;
  read_environment(environment, gathered);
  const auto path = gathered.settings.find("config-file");
  if (path == gathered.settings.end() || path->second.empty()) return gathered;
  std::ifstream file(path->second);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    return fail(ErrorKind::not_found, "--config-file: cannot read \"" + path->second + "\"");
  }
  if (gathered.settings.size() > 1) {
    gathered.warnings.push_back("settings come from " + path->second +
                                " alone; other flags and ETCD_* variables are ignored");
  }
  auto settings = settings_from_yaml(text.str(), path->second, gathered.warnings);
  if (!settings) return std::unexpected(settings.error());
  gathered.settings = std::move(*settings);
  return gathered;
}

std::string serve_help() {
  std::string help =
      "Usage: quorate serve [flags]\n\n"
      "Runs one member. Without flags: a durable cluster of one on localhost:2379.\n"
      "Each flag may be given as an environment variable ETCD_<NAME> instead.\n\n";
  for (const Known& known : kKnown) {
    help.append("  --").append(known.name);
    help += std::string(known.name.size() < 30 ? 30 - known.name.size() : 1, ' ');
    help += known.help;
    if (!known.fallback.empty()) help.append(" (").append(known.fallback).append(")");
    help += '\n';
  }
  return help +
         "\nExit codes: 0 stopped on request, 1 bad configuration or port or directory in use,\n"
         "2 command line not understood, 5 the disk or the data failed (the log says which).\n";
}

}  // namespace quorate::app
