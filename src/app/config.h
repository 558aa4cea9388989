// app/config.h: what `quorate serve` is told, checked, with etcd's names and rules.
//
// Settings come as (name, text) pairs from three sources (app/settings.h); this turns them into
// one valid ServeConfig or into one sentence that says what is wrong and what to do.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/logging.h"
#include "app/urls.h"
#include "base/result.h"
#include "consensus/factory.h"
#include "front/etcd/compaction_plan.h"
#include "node/node.h"

namespace quorate::app {

using Settings = std::map<std::string, std::string>;  // name without dashes -> value as text

struct FoundingMember {
  std::string name;
  std::vector<Url> peer_urls;
};

// How connections of one kind are secured, as told by etcd's flags.
struct TransportConfig {
  std::string certificate_file;
  std::string key_file;
  std::string authorities_file;
  std::string revoked_file;
  std::string dialling_certificate_file;  // shown to those who are dialled; empty: the one above
  std::string dialling_key_file;
  bool certificate_authentication = false;
  bool automatic = false;
  std::vector<std::string> allowed_names;
  std::vector<std::string> allowed_hosts;
  bool has_certificate() const { return !certificate_file.empty() || automatic; }
  // etcd: to name an authority is to demand certificates.
  bool demands_certificate() const {
    return certificate_authentication || !authorities_file.empty();
  }
};

struct ServeConfig {
  std::string name = "default";
  std::string data_directory;
  std::vector<Url> listen_client;
  std::vector<Url> advertise_client;
  std::vector<Url> listen_client_http;  // not empty: the ones above serve gRPC only
  std::vector<Url> listen_metrics;      // health and metrics only
  std::vector<Url> listen_peer;
  std::vector<Url> advertise_peer;
  std::vector<FoundingMember> cluster;  // this member included
  std::string token = "etcd-cluster";
  node::Start start = node::Start::new_cluster;
  bool bootstrap = false;          // `cluster` are seeds that have still to agree on a cluster
  bool force_new_cluster = false;  // forced_cluster.h
  consensus::Protocol protocol = consensus::Protocol::raft;
  bool protocol_given = false;
  uint64_t heartbeat_milliseconds = 100;
  uint64_t election_milliseconds = 1000;
  uint64_t snapshot_count = 10000;
  Duration watch_progress_interval = std::chrono::minutes(10);
  uint64_t catch_up_entries = 5000;
  // A terabyte is read in three days; a disk hardly notices.
  uint64_t scrub_bytes_per_second = uint64_t{4} << 20U;
  uint64_t quota_bytes = uint64_t{2} << 30U;  // 0: no limit
  front::etcd::CompactionRule compaction;
  uint64_t request_bytes_max = 1572864;
  uint64_t txn_operations_max = 128;
  uint64_t learners_max = 1;
  uint64_t client_threads = 0;  // 0: connections are served where the calls run
  std::string auth_token = "simple";
  uint64_t auth_token_seconds = 300;
  uint64_t bcrypt_cost = 10;
  bool strict_reconfig_check = true;
  bool pre_vote = true;
  std::vector<std::string> cors = {"*"};
  std::vector<std::string> host_whitelist = {"*"};
  LogOptions log;
  TransportConfig client_transport;
  TransportConfig peer_transport;
  std::vector<std::string> cipher_suites;
  std::string tls_version_min;
  std::string tls_version_max;
  uint64_t self_signed_years = 1;
  std::vector<std::string> warnings;  // for the log
};

// `program` is "etcd" or "quorate": the suffix of the default data directory.
Result<ServeConfig> make_config(const Settings& settings, const std::string& program);

}  // namespace quorate::app
