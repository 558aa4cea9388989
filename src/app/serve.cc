#include "app/serve.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>

#include "app/bootstrap.h"
#include "app/client_threads.h"
#include "app/cluster_ids.h"
#include "app/exit_codes.h"
#include "app/forced_cluster.h"
#include "app/joining.h"
#include "app/jwt.h"
#include "app/logging.h"
#include "app/memory_budget.h"
#include "app/notify.h"
#include "app/output.h"
#include "app/process.h"
#include "app/securing.h"
#include "app/settings.h"
#include "app/version.h"
#include "base/check.h"
#include "base/log.h"
#include "front/etcd/server.h"
#include "machine/etcd/commands.h"
#include "node/member_about.h"
#include "storage/kv/kv_store.h"
#include "world/real/event_loop.h"
#include "world/real/files.h"
#include "world/real/tcp_network.h"

namespace quorate::app {
namespace {

using front::grpc::Offer;

// SIGTERM to exit takes at most 1.5 s: this long to hand over leadership, the rest to close.
constexpr auto kStopPatience = std::chrono::milliseconds(1000);
constexpr int kStopMillisecondsMax = 1350;

// etcd's delay before a removed member ends: its last answers still leave.
constexpr auto kRemovedDelay = std::chrono::seconds(1);

// The seed of what may differ between runs: election jitter, the incarnation of a new directory.
uint64_t fresh_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

std::string listen_address(const Url& url) {
  return url.host == "localhost" ? "127.0.0.1:" + std::to_string(url.port) : url.address();
}

std::vector<std::string> peer_listen_addresses(const ServeConfig& config) {
  std::vector<std::string> addresses;
  for (const Url& url : config.listen_peer) {
    addresses.push_back((url.secure ? "https://" : "") + listen_address(url));
  }
  return addresses;
}

// `config` as if the flags had named the members that the seeds agreed on.
Result<void> adopt_founding(const node::Introduction& founding, const ServeConfig& flags,
                            node::NodeConfig& config) {
  const auto self = node::member_at(founding, flags.name, texts(flags.advertise_peer));
  if (!self) return std::unexpected(self.error());
  config.self = *self;
  config.cluster_id = founding.cluster_id;
  config.members.clear();
  for (const consensus::Member& member : founding.members.voters) {
    const auto about = node::decode_member_about(member.about);
    if (!about) continue;
    config.members.push_back(
        {member.id, about->name, node::addresses_of(about->urls), about->urls});
  }
  return {};
}

front::etcd::EtcdOptions front_options(const ServeConfig& config) {
  front::etcd::EtcdOptions options;
  options.name = config.name;
  options.advertise_client_urls = texts(config.advertise_client);
  options.version = kEmulatedEtcdVersion;
  options.request_timeout =
      std::chrono::seconds(5) + 2 * std::chrono::milliseconds(config.election_milliseconds);
  options.election_timeout = std::chrono::milliseconds(config.election_milliseconds);
  options.watch_progress_interval = config.watch_progress_interval;
  // 1.5 election timeouts, rounded up to whole seconds.
  options.lease_seconds_min =
      static_cast<int64_t>((3 * config.election_milliseconds + 1999) / 2000);
  options.request_bytes_max = config.request_bytes_max;
  options.txn_operations_max = config.txn_operations_max;
  options.quota_backend_bytes = config.quota_bytes;
  options.cors = config.cors;
  options.host_whitelist = config.host_whitelist;
  options.compaction = config.compaction;
  options.strict_reconfig_check = config.strict_reconfig_check;
  options.auth.token_life = std::chrono::seconds(config.auth_token_seconds);
  options.auth.bcrypt_cost = static_cast<uint32_t>(config.bcrypt_cost);
  options.new_member_id = added_member_id;
  return options;
}

Result<std::unique_ptr<machine::StateMachine>> make_machine(const std::string& directory) {
  auto store = storage::open_rocksdb_store(directory);
  if (!store) return std::unexpected(store.error());
  auto machine = machine::etcd::open_etcd_machine(std::move(*store), memory_for_values());
  if (!machine) return std::unexpected(machine.error());
  return std::unique_ptr<machine::StateMachine>(std::move(*machine));
}

// The parts in the order in which they depend on each other: destroyed last to first.
class Member {
 public:
  explicit Member(const ServeConfig& config)
      : config_(config),
        loop_(world::make_event_loop()),
        disk_(world::make_file_disk()),
        client_threads_(config.client_threads) {}

  // Until it ends. Returns the exit code.
  int run();

 private:
  Result<void> begin();
  Result<void> open_directory();
  Result<void> prepare_security();
  Result<void> serve_clients();
  Result<void> serve(const std::vector<Url>& urls, Offer offer, const std::string& whom);
  void join(node::NodeConfig config);
  Result<void> agree(node::NodeConfig config);
  Result<void> open(node::NodeConfig config);
  void stop();
  void end_removed();
  void refuse(const Error& error);

  ServeConfig config_;
  std::unique_ptr<world::EventLoop> loop_;
  std::unique_ptr<world::Disk> disk_;
  std::shared_ptr<front::etcd::TokenSigner> signer_;  // null: tokens are remembered
  std::unique_ptr<world::Security> client_security_;
  std::unique_ptr<world::Security> peer_security_;
  std::unique_ptr<Joining> joining_;
  std::unique_ptr<Bootstrap> bootstrap_;
  std::optional<node::Introduction> founding_;  // what the seeds have agreed on
  std::unique_ptr<world::TcpNetwork> network_;
  std::unique_ptr<node::Node> node_;
  ClientThreads client_threads_;  // their loops outlive the server
  std::unique_ptr<front::etcd::EtcdServer> server_;
  std::unique_ptr<SignalWatch> signals_;
  int exit_code_ = kExitOk;
};

Result<void> Member::open_directory() {
  const std::string& directory = config_.data_directory;
  std::error_code error;
  if (std::filesystem::exists(directory + "/member", error)) {
    return fail(ErrorKind::conflict,
                "data directory \"" + directory +
                    "\" belongs to etcd itself (it holds member/); bring it over into another "
                    "directory with `quorate import`, or point --data-dir elsewhere");
  }
  if (auto made = disk_->make_directory(directory); !made) {
    return fail(ErrorKind::io, "cannot create data directory \"" + directory +
                                   "\": " + made.error().text +
                                   "; check --data-dir and the rights on its parent");
  }
  return {};
}

Result<void> Member::begin() {
  if (auto opened = open_directory(); !opened) return opened;
  if (config_.force_new_cluster) {
    if (auto forced = force_new_cluster(config_); !forced) return forced;
  }
  if (auto prepared = prepare_security(); !prepared) return prepared;
  auto signals = watch_stop_signals(*loop_, [this] { stop(); });
  if (!signals) return std::unexpected(signals.error());
  signals_ = std::move(*signals);
  node::NodeConfig config = node_config(config_);
  if (config_.bootstrap) {
    auto founding = load_founding(*disk_, config_.data_directory);
    if (!founding) return std::unexpected(founding.error());
    if (*founding) {
      founding_ = std::move(*founding);
      if (auto adopted = adopt_founding(*founding_, config_, config); !adopted) return adopted;
    }
  }
  auto known = node::adopt_stored_identity(*disk_, config);
  if (!known) return std::unexpected(known.error());
  if (!*known && config_.bootstrap && !founding_) return agree(std::move(config));
  if (*known || config_.start == node::Start::new_cluster) return open(std::move(config));
  join(std::move(config));
  return {};
}

void Member::join(node::NodeConfig config) {
  const Joining::Self self{config_.name, texts(config_.advertise_peer), config.group};
  joining_ =
      std::make_unique<Joining>(*loop_, peer_security_.get(), self, config.contacts,
                                [this, config](Result<Joined> joined) mutable {
                                  if (!joined) return refuse(joined.error());
                                  config.self = joined->member;
                                  config.cluster_id = joined->introduction.cluster_id;
                                  config.members.clear();
                                  auto same = node::adopt_protocol(
                                      config, joined->introduction.protocol, "the cluster to join");
                                  if (!same) return refuse(same.error());
                                  config.introduction = std::move(joined->introduction);
                                  if (auto opened = open(std::move(config)); !opened)
                                    refuse(opened.error());
                                });
  joining_->start();
}

Result<void> Member::agree(node::NodeConfig config) {
  BootstrapOptions options;
  options.directory = config_.data_directory;
  options.token = config_.token;
  options.name = config_.name;
  options.group = config.group;
  options.listen = peer_listen_addresses(config_);
  for (const node::PeerConfig& member : config.members) {
    options.seeds.push_back({member.name, member.urls, member.addresses});
  }
  const auto done = [this,
                     config = std::move(config)](Result<node::Introduction> founding) mutable {
    bootstrap_.reset();
    if (!founding) return refuse(founding.error());
    founding_ = std::move(*founding);
    auto opened = adopt_founding(*founding_, config_, config);
    if (opened) opened = open(std::move(config));
    if (!opened) refuse(opened.error());
  };
  bootstrap_ =
      std::make_unique<Bootstrap>(*loop_, *disk_, peer_security_.get(), std::move(options), done);
  return bootstrap_->start();
}

Result<void> Member::open(node::NodeConfig config) {
  log(LogLevel::info,
      "this is member " + hex(config.self.value) + " of cluster " + hex(config.cluster_id));
  const world::TcpOptions options{config.self, config.cluster_id, peer_listen_addresses(config_),
                                  peer_security_.get()};
  auto network = world::make_tcp_network(*loop_, options);
  if (!network) return std::unexpected(network.error());
  network_ = std::move(*network);
  // Seeds that have not heard yet cannot hear it from the register any more: we have left it.
  if (founding_) network_->set_introduction(node::encode_introduction(*founding_));
  auto node = node::open_node(*loop_, *disk_, *network_, make_machine, std::move(config),
                              Rng(fresh_seed()));
  if (!node) return std::unexpected(node.error());
  node_ = std::move(*node);
  node_->set_ready_handler([] {
    log(LogLevel::info, "ready to serve client requests");
    notify_systemd("READY=1\nSTATUS=serving clients");
  });
  node_->set_removed_handler([this] { end_removed(); });
  node_->set_failure_handler([this](const Error& error) {
    log(LogLevel::error, "this member stops: " + error.text);
    exit_code_ = kExitFailed;
    loop_->stop();
  });
  front::etcd::EtcdOptions answering = front_options(config_);
  answering.auth.signer = signer_;
  answering.client_loops = client_threads_.loops();
  server_ = front::etcd::make_etcd_server(*loop_, *loop_, *node_, std::move(answering));
  if (auto served = serve_clients(); !served) return served;
  client_threads_.start();
  node_->start();
  return {};
}

Result<void> Member::prepare_security() {
  if (config_.auth_token != "simple") {
    auto signer = make_jwt_signer(config_.auth_token);
    if (!signer) return std::unexpected(signer.error());
    signer_ = std::move(*signer);
  }
  auto made = client_security(config_);
  if (!made) return std::unexpected(made.error());
  client_security_ = std::move(*made);
  auto made_for_peers = peer_security(config_);
  if (!made_for_peers) return std::unexpected(made_for_peers.error());
  peer_security_ = std::move(*made_for_peers);
  return {};
}

Result<void> Member::serve_clients() {
  const bool apart = !config_.listen_client_http.empty();
  const Offer offer = apart ? Offer::calls : Offer::all;
  if (auto served = serve(config_.listen_client, offer, "clients"); !served) return served;
  auto served = serve(config_.listen_client_http, Offer::pages, "pages and JSON");
  if (!served) return served;
  return serve(config_.listen_metrics, Offer::probes, "health and metrics");
}

// An address may be given twice, as http:// and as https://: then clients choose.
Result<void> Member::serve(const std::vector<Url>& urls, Offer offer, const std::string& whom) {
  std::map<std::string, std::array<bool, 2>> wanted;  // plain, secured
  for (const Url& url : urls) wanted[listen_address(url)].at(url.secure) = true;
  for (const auto& [address, kinds] : wanted) {
    const auto& [plain, secured] = kinds;
    auto port = server_->listen(address, secured ? client_security_.get() : nullptr, plain, offer);
    if (!port) return std::unexpected(port.error());
  }
  for (const Url& url : urls) {
    log(LogLevel::info, "serving " + whom + " on " + url.text);
  }
  return {};
}

void Member::refuse(const Error& error) {
  log(LogLevel::error, "cannot start: " + error.text);
  exit_code_ = kExitRefused;
  loop_->stop();
}

void Member::stop() {
  if (node_ == nullptr) return loop_->stop();
  log(LogLevel::info, "stop requested: handing leadership over");
  notify_systemd("STOPPING=1");
  end_process_after(kStopMillisecondsMax);
  server_->drain();
  node_->stop(kStopPatience, [this] { loop_->stop(); });
}

void Member::end_removed() {
  loop_->at(loop_->now() + kRemovedDelay, [this] {
    server_->drain();
    loop_->post([this] { loop_->stop(); });
  });
}

int Member::run() {
  if (auto begun = begin(); !begun) {
    log(LogLevel::error, "cannot start: " + begun.error().text);
    return kExitRefused;
  }
  loop_->run();
  if (server_ != nullptr) server_->let_go();
  client_threads_.stop();
  log(LogLevel::info, exit_code_ == kExitOk ? "stopped" : "stopped after a failure");
  return exit_code_;
}

void observe_check(const char* text) { log(LogLevel::error, text); }

std::vector<std::string> environment_entries() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

void log_start(const ServeConfig& config) {
  log(LogLevel::info, std::string("quorate ") + kQuorateVersion + " starts member \"" +
                          config.name + "\", data in " + config.data_directory);
}

}  // namespace

node::NodeConfig node_config(const ServeConfig& config) {
  node::NodeConfig made;
  made.name = config.name;
  made.token = config.token;
  std::vector<uint64_t> ids;
  for (const FoundingMember& member : config.cluster) {
    node::PeerConfig peer;
    peer.name = member.name;
    peer.urls = texts(member.peer_urls);
    for (const Url& url : member.peer_urls) peer.addresses.push_back(url.dial_address());
    peer.id = NodeId{founding_member_id(peer.urls, config.token)};
    if (member.name == config.name) {
      made.self = peer.id;
    } else {
      made.contacts.insert(made.contacts.end(), peer.addresses.begin(), peer.addresses.end());
    }
    ids.push_back(peer.id.value);
    made.members.push_back(std::move(peer));
  }
  made.cluster_id = founding_cluster_id(ids);
  made.protocol = config.protocol;
  made.protocol_demanded = config.protocol_given;
  made.directory = config.data_directory + "/quorate";
  made.start = config.start;
  made.election_timeout = std::chrono::milliseconds(config.election_milliseconds);
  made.heartbeat_interval = std::chrono::milliseconds(config.heartbeat_milliseconds);
  made.pre_vote = config.pre_vote;
  made.snapshot_count = config.snapshot_count;
  made.catch_up_entries = config.catch_up_entries;
  made.scrub_bytes_per_second = config.scrub_bytes_per_second;
  made.learners_max = config.learners_max;
  made.incarnation = fresh_seed();
  return made;
}

std::string version_text(const std::string& program) {
  if (program != "etcd") return std::string("quorate ") + kQuorateVersion + "\n";
  return std::string("etcd Version: ") + kEmulatedEtcdVersion + "\nGit SHA: quorate-" +
         kQuorateVersion + "\nGo Version: none\nGo OS/Arch: linux/amd64\n";
}

int run_member(const ServeConfig& config) {
  prepare_process();
  set_check_observer(observe_check);
  log_start(config);
  return Member(config).run();
}

int serve_command(const std::vector<std::string>& arguments, const std::string& program) {
  auto gathered = gather_settings(arguments, environment_entries());
  if (!gathered) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), gathered.error().text.c_str());
    return kExitUsage;
  }
  if (gathered->version || gathered->help) {
    std::fputs((gathered->help ? serve_help() : version_text(program)).c_str(), stdout);
    return kExitOk;
  }
  auto config = make_config(gathered->settings, program);
  if (!config) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), config.error().text.c_str());
    return kExitRefused;
  }
  if (auto installed = install_logging(config->log); !installed) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), installed.error().text.c_str());
    return kExitRefused;
  }
  for (const std::string& warning : gathered->warnings) log(LogLevel::warn, warning);
  for (const std::string& warning : config->warnings) log(LogLevel::warn, warning);
  return run_member(*config);
}

}  // namespace quorate::app
