#include "front/etcd/metrics.h"

#include "front/etcd/metrics_page.h"
#include "front/etcd/process_metrics.h"

namespace quorate::front::etcd {
namespace {

std::string hex(uint64_t id) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(id));
  return text.data();
}

std::string label(std::string_view name, std::string_view value) {
  return std::string(name) + "=\"" + std::string(value) + "\"";
}

void render_identity(Api& api, const node::NodeStatus& status, MetricsPage& page) {
  page.family("etcd_server_version", "Reported version.", "gauge");
  page.sample("etcd_server_version", label("server_version", api.options().version), "1");
  page.family("etcd_cluster_version", "Reported cluster version.", "gauge");
  const std::string minor = api.version_minor();
  page.sample("etcd_cluster_version", label("cluster_version", minor.substr(0, minor.rfind('.'))),
              "1");
  page.family("etcd_server_id", "This member.", "gauge");
  page.sample("etcd_server_id", label("server_id", hex(status.self.value)), "1");
}

void render_consensus(const node::NodeStatus& status, MetricsPage& page) {
  page.family("quorate_consensus_info", "Protocol of the replicated log.", "gauge");
  page.sample("quorate_consensus_info", label("protocol", std::string(status.protocol)), "1");
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
  page.counter("etcd_server_slow_apply_total", "Portions applied that took over 100 ms.",
               status.applies_slow);
  page.counter("etcd_server_read_indexes_failed_total",
               "Reads of what is newest that were refused.", status.reads_failed);
  page.counter("etcd_server_slow_read_indexes_total",
               "Times the leader was asked again for what is newest.", status.reads_asked_again);
  page.gauge("etcd_server_snapshot_apply_in_progress_total",
             "Whether a peer's snapshot is being put in place.",
             status.installing_snapshot ? 1 : 0);
  page.counter("etcd_debugging_server_lease_expired_total",
               "Leases that ran out while this member led.", status.leases_expired);
}

void render_disk(Api& api, const node::NodeStatus& status, MetricsPage& page) {
  page.family("etcd_disk_wal_fsync_duration_seconds", "Time in fdatasync of the log.", "histogram");
  page.histogram("etcd_disk_wal_fsync_duration_seconds", {}, status.wal_sync_times);
  page.family("etcd_disk_backend_commit_duration_seconds",
              "Time to give a batch of changes to the row store.", "histogram");
  page.histogram("etcd_disk_backend_commit_duration_seconds", {}, status.store_write_times);
  page.family("etcd_disk_backend_defrag_duration_seconds", "Time of defragmentations.",
              "histogram");
  page.histogram("etcd_disk_backend_defrag_duration_seconds", {}, api.counts().defragmentations);
  page.gauge("etcd_disk_defrag_inflight", "Whether a defragmentation is under way.",
             api.counts().defragmentations_under_way);
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
}

void render_peers(const node::NodeStatus& status, MetricsPage& page) {
  const std::string self = hex(status.self.value);
  const auto each = [&](const std::string& name, const char* help, std::string_view direction,
                        uint64_t node::PeerTraffic::* figure) {
    page.family(name, help, "counter");
    for (const auto& [peer, traffic] : status.peer_traffic) {
      page.sample(name, label(direction, hex(peer.value)), std::to_string(traffic.*figure));
    }
  };
  each("etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.", "To",
       &node::PeerTraffic::bytes_sent);
  each("etcd_network_peer_received_bytes_total", "Bytes received from a peer.", "From",
       &node::PeerTraffic::bytes_received);
  each("etcd_network_peer_sent_failures_total",
       "Frames that could not be sent: no connection, or a full queue.", "To",
       &node::PeerTraffic::frames_unsent);
  const auto pairs = [&](const char* name, const char* help, bool connected) {
    page.family(name, help, "gauge");
    for (const node::MemberView& member : status.members) {
      if (member.id == status.self || (connected && !member.connected_since)) continue;
      page.sample(name, label("Local", self) + "," + label("Remote", hex(member.id.value)), "1");
    }
  };
  pairs("etcd_network_known_peers", "Members beside this one.", false);
  pairs("etcd_network_active_peers", "Peers that this member is connected with.", true);
}

void render_activity(const machine::etcd::EtcdMachine& machine, MetricsPage& page) {
  const machine::etcd::Activity activity = machine.activity();
  page.counter("etcd_mvcc_put_total", "Puts applied, those of transactions included.",
               activity.store.puts);
  page.counter("etcd_mvcc_delete_total", "Deletions applied, those of transactions included.",
               activity.store.removals);
  page.counter("etcd_mvcc_txn_total", "Transactions applied.", activity.transactions);
  page.counter("etcd_debugging_mvcc_total_put_size_in_bytes", "Keys and values put.",
               activity.store.put_bytes);
  page.counter("etcd_debugging_mvcc_db_compaction_keys_total", "Rows removed by compactions.",
               activity.store.rows_compacted);
  page.counter("etcd_debugging_lease_granted_total", "Leases granted.", activity.leases_granted);
  page.counter("etcd_debugging_lease_revoked_total", "Leases revoked.", activity.leases_revoked);
}

void render_store(Api& api, const node::NodeStatus& status, MetricsPage& page) {
  const machine::SpaceUse space = api.service().machine().space();
  page.gauge("etcd_server_quota_backend_bytes", "Size the store may reach.",
             api.options().quota_backend_bytes);
  page.gauge("etcd_mvcc_db_total_size_in_bytes",
             "Size of the store: what it took at most since it was defragmented.", space.taken);
  page.gauge("etcd_debugging_mvcc_db_total_size_in_bytes", "The same, under its older name.",
             space.taken);
  page.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Size of the rows in the store.",
             space.in_use);
  page.gauge("quorate_store_file_bytes", "Size of the store's files and of what they await.",
             status.store_bytes);
  page.counter("etcd_debugging_lease_renewed_total", "Renewals asked of this member.",
               api.counts().leases_renewed);
  page.counter("etcd_server_health_success", "Times /health found all well.",
               api.counts().health_successes);
  page.counter("etcd_server_health_failures", "Times /health did not.",
               api.counts().health_failures);
  if (const auto* machine = api.machine(); machine != nullptr) {
    const auto revisions = machine->revisions();
    page.gauge("etcd_debugging_mvcc_current_revision", "Revision of the newest write.",
               static_cast<uint64_t>(revisions.current));
    page.gauge("etcd_debugging_mvcc_compact_revision", "Revision compacted up to.",
               static_cast<uint64_t>(revisions.compacted));
    page.gauge("etcd_debugging_mvcc_keys_total", "Live keys.", machine->key_count());
    page.gauge("quorate_leases", "Leases that are there.", machine->lease_count());
    render_activity(*machine, page);
  }
}

// As the definition of the service has it, not as the method is served here.
std::string_view type_of(const grpc::Method& method) {
  if (method.name == "Watch" || method.name == "LeaseKeepAlive") return "bidi_stream";
  if (method.name == "Snapshot" || method.name == "Observe") return "server_stream";
  return "unary";
}

std::string method_labels(const grpc::Method& method) {
  return label("grpc_method", method.name) + "," + label("grpc_service", method.service) + "," +
         label("grpc_type", type_of(method));
}

void render_calls(Api& api, MetricsPage& page) {
  const auto& methods = api.server().methods();
  const auto each = [&](const char* name, const char* help, uint64_t grpc::Method::* figure) {
    page.family(name, help, "counter");
    for (const grpc::Method* method : methods) {
      page.sample(name, method_labels(*method), std::to_string(method->*figure));
    }
  };
  each("grpc_server_started_total", "Calls begun.", &grpc::Method::started);
  each("grpc_server_msg_received_total", "Messages from clients.",
       &grpc::Method::messages_received);
  each("grpc_server_msg_sent_total", "Messages to clients.", &grpc::Method::messages_sent);
  page.family("grpc_server_handled_total", "Calls ended, by code.", "counter");
  for (const grpc::Method* method : methods) {
    for (size_t code = 0; code < grpc::kCodeCount; ++code) {
      const uint64_t count = method->handled.at(code);
      if (count == 0 && code != 0) continue;
      const std::string_view name = grpc::code_name(static_cast<grpc::Code>(code));
      page.sample("grpc_server_handled_total",
                  label("grpc_code", name) + "," + method_labels(*method), std::to_string(count));
    }
  }
  page.family("grpc_server_handling_seconds", "Time from the headers of a call to its end.",
              "histogram");
  for (const grpc::Method* method : methods) {
    page.histogram("grpc_server_handling_seconds", method_labels(*method), method->times);
  }
}

void render_clients(Api& api, MetricsPage& page) {
  for (const grpc::Method* method : api.server().methods()) {
    const bool range = method->service == "etcdserverpb.KV" && method->name == "Range";
    // Reads leave no trace in the state: those answered by this member.
    if (range) page.counter("etcd_mvcc_range_total", "Ranges read.", method->handled.at(0));
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

void render_watches(const WatchCounts& watches, MetricsPage& page) {
  page.gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams.", watches.streams);
  page.gauge("etcd_debugging_mvcc_watcher_total", "Watchers.", watches.watchers);
  page.gauge("etcd_debugging_mvcc_slow_watcher_total",
             "Watchers that catch up, or wait for their client to read.", watches.slow_watchers);
  page.counter("etcd_debugging_mvcc_events_total", "Events sent to watchers.", watches.events);
}

}  // namespace

std::string render_metrics(Api& api, const WatchCounts& watches) {
  MetricsPage page;
  const node::NodeStatus status = api.service().status();
  render_identity(api, status, page);
  render_consensus(status, page);
  render_disk(api, status, page);
  render_peers(status, page);
  render_store(api, status, page);
  render_watches(watches, page);
  render_calls(api, page);
  render_clients(api, page);
  render_process(page);
  return page.take();
}

}  // namespace quorate::front::etcd
