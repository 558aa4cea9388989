#include "front/etcd/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>

namespace quorate::front::etcd {
namespace {

class Page {
 public:
  void gauge(std::string_view name, std::string_view help, uint64_t value) {
    family(name, help, "gauge");
    sample(name, {}, std::to_string(value));
  }
  void counter(std::string_view name, std::string_view help, uint64_t value) {
    family(name, help, "counter");
    sample(name, {}, std::to_string(value));
  }
  void family(std::string_view name, std::string_view help, std::string_view type) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(std::string_view name, std::string_view labels, const std::string& value) {
    text_.append(name);
    if (!labels.empty()) text_.append("{").append(labels).append("}");
    text_.append(" ").append(value).append("\n");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string seconds(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t pages = 0;
  uint64_t resident = 0;
  file >> pages >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count < 3 ? 0 : count - 3;  // ".", ".." and the listing's own
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto as_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return as_seconds(usage.ru_utime) + as_seconds(usage.ru_stime);
}

// Field 22 of /proc/self/stat counts clock ticks since the machine started.
double start_seconds() {
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  std::ifstream system("/proc/stat");
  std::string word;
  double boot = 0;
  while (system >> word) {
    if (word == "btime") {
      system >> boot;
      break;
    }
  }
  size_t position = line.rfind(')');  // the name before it may hold anything
  for (int field = 2; field < 22 && position != std::string::npos; ++field) {
    position = line.find(' ', position + 1);
  }
  if (position == std::string::npos) return boot;
  const double ticks = std::strtod(line.c_str() + position, nullptr);
  return boot + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void render_consensus(const node::NodeStatus& status, Page& page) {
  page.gauge("etcd_server_has_leader", "Whether this member knows a leader.",
             status.consensus.leader ? 1 : 0);
  page.gauge("etcd_server_is_leader", "Whether this member leads.",
             status.consensus.leader == status.self && status.self ? 1 : 0);
  bool learner = false;
  for (const node::MemberView& member : status.members) {
    if (member.id == status.self) learner = member.learner;
  }
  page.gauge("etcd_server_is_learner", "Whether this member has no vote.", learner ? 1 : 0);
  page.counter("etcd_server_leader_changes_seen_total", "Changes of leader seen.",
               status.leader_changes);
  page.gauge("etcd_server_proposals_committed_total", "Log index decided so far.",
             status.consensus.committed.value);
  page.gauge("etcd_server_proposals_applied_total", "Log index applied so far.",
             status.applied.value);
  page.gauge("etcd_server_proposals_pending", "Proposals waiting for their outcome.",
             status.proposals_pending);
  page.counter("etcd_server_proposals_failed_total", "Proposals refused or timed out.",
               status.proposals_failed);
  page.family("etcd_disk_wal_fsync_duration_seconds", "Time in fdatasync of the log.", "summary");
  page.sample("etcd_disk_wal_fsync_duration_seconds_sum", {},
              seconds(static_cast<double>(status.wal_sync_nanoseconds) / 1e9));
  page.sample("etcd_disk_wal_fsync_duration_seconds_count", {}, std::to_string(status.wal_syncs));
  page.counter("etcd_disk_wal_write_bytes_total", "Bytes written to the log.", status.wal_bytes);
  page.gauge("quorate_log_entries_damaged", "Entries of the log that must come back from peers.",
             status.consensus.damaged);
  page.counter("quorate_log_entries_damaged_total", "Entries of the log found damaged.",
               status.log_entries_damaged);
  page.counter("quorate_log_entries_repaired_total", "Damaged entries that peers gave back.",
               status.log_entries_repaired);
  page.gauge("quorate_store_lost", "Whether the state is damaged and a snapshot is awaited.",
             status.consensus.store_lost ? 1 : 0);
  page.counter("quorate_stores_lost_total", "Stores found damaged while running.",
               status.stores_lost);
  page.counter("quorate_scrubbed_bytes_total", "Bytes of log and store read again.",
               status.scrubbed_bytes);
  page.counter("quorate_peer_sent_bytes_total", "Bytes sent to all peers.", status.peer_bytes_sent);
  page.counter("quorate_peer_received_bytes_total", "Bytes received from all peers.",
               status.peer_bytes_received);
}

void render_store(Api& api, const node::NodeStatus& status, Page& page) {
  page.gauge("etcd_server_quota_backend_bytes", "Size the store may reach.",
             api.options().quota_backend_bytes);
  page.gauge("etcd_mvcc_db_total_size_in_bytes", "Size of the store.", status.store_bytes);
  page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Size of the store in use.",
             status.store_bytes);
  if (const auto* machine = api.machine(); machine != nullptr) {
    const auto revisions = machine->revisions();
    page.gauge("etcd_debugging_mvcc_current_revision", "Revision of the newest write.",
               static_cast<uint64_t>(revisions.current));
    page.gauge("etcd_debugging_mvcc_compact_revision", "Revision compacted up to.",
               static_cast<uint64_t>(revisions.compacted));
    page.gauge("etcd_debugging_mvcc_keys_total", "Live keys.", machine->key_count());
  }
}

std::string method_labels(const grpc::Method& method) {
  return "grpc_method=\"" + method.name + "\",grpc_service=\"" + method.service +
         "\",grpc_type=\"" + (method.stream != nullptr ? "bidi_stream" : "unary") + "\"";
}

void render_calls(Api& api, Page& page) {
  const auto& methods = api.server().methods();
  page.family("grpc_server_started_total", "Calls begun.", "counter");
  for (const grpc::Method* method : methods) {
    page.sample("grpc_server_started_total", method_labels(*method),
                std::to_string(method->started));
  }
  page.family("grpc_server_handled_total", "Calls ended, by code.", "counter");
  for (const grpc::Method* method : methods) {
    for (size_t code = 0; code < grpc::kCodeCount; ++code) {
      const uint64_t count = method->handled.at(code);
      if (count == 0 && code != 0) continue;
      const std::string label =
          "grpc_code=\"" + std::string(grpc::code_name(static_cast<grpc::Code>(code))) + "\",";
      page.sample("grpc_server_handled_total", label + method_labels(*method),
                  std::to_string(count));
    }
  }
  // Operations answered by this member; etcd counts those applied, here a front counts its own.
  for (const grpc::Method* method : methods) {
    if (method->service != "etcdserverpb.KV") continue;
    const uint64_t succeeded = method->handled.at(0);
    if (method->name == "Put") page.counter("etcd_mvcc_put_total", "Puts.", succeeded);
    if (method->name == "DeleteRange") {
      page.counter("etcd_mvcc_delete_total", "Deletions.", succeeded);
    }
    if (method->name == "Txn") page.counter("etcd_mvcc_txn_total", "Transactions.", succeeded);
    if (method->name == "Range") page.counter("etcd_mvcc_range_total", "Ranges.", succeeded);
  }
  const auto& metrics = api.server().metrics();
  page.counter("etcd_network_client_grpc_received_bytes_total", "Bytes from clients.",
               metrics.bytes_received);
  page.counter("etcd_network_client_grpc_sent_bytes_total", "Bytes to clients.",
               metrics.bytes_sent);
  page.gauge("quorate_client_connections", "Open client connections.", metrics.connections);
  page.counter("quorate_client_connections_refused_total", "Connections above the limit.",
               metrics.connections_refused);
}

void render_watches(const WatchCounts& watches, Page& page) {
  page.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", watches.streams);
  page.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", watches.watchers);
  page.gauge("etcd_debugging_mvcc_slow_watcher_total",
             "Watchers that catch up, or wait for their client to read.", watches.slow_watchers);
  page.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", watches.events);
}

void render_process(Page& page) {
  page.gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes());
  page.family("process_cpu_seconds_total", "CPU time, user and system.", "counter");
  page.sample("process_cpu_seconds_total", {}, seconds(cpu_seconds()));
  page.gauge("process_open_fds", "Open file descriptors.", open_descriptors());
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  page.gauge("process_max_fds", "Limit of open file descriptors.", limit.rlim_cur);
  page.family("process_start_time_seconds", "Start of the process since 1970.", "gauge");
  page.sample("process_start_time_seconds", {}, seconds(start_seconds()));
}

}  // namespace

std::string render_metrics(Api& api, const WatchCounts& watches) {
  Page page;
  const node::NodeStatus status = api.service().status();
  page.family("etcd_server_version", "Reported version.", "gauge");
  page.sample("etcd_server_version", "server_version=\"" + api.options().version + "\"", "1");
  page.family("etcd_cluster_version", "Reported cluster version.", "gauge");
  const std::string minor = api.version_minor();
  page.sample("etcd_cluster_version",
              "cluster_version=\"" + minor.substr(0, minor.rfind('.')) + "\"", "1");
  render_consensus(status, page);
  render_store(api, status, page);
  render_watches(watches, page);
  render_calls(api, page);
  render_process(page);
  return page.take();
}

}  // namespace quorate::front::etcd
