#include "target.h"

namespace quorate::fuzz {

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {"peer_stream", peer_stream, "bytes of a peer's socket: hello, frames, checksums"},
      {"peer_frame", peer_frame, "one frame: consensus heads, entries, members, snapshots"},
      {"snapshot_frames", snapshot_frames, "a peer sends a snapshot: names, sizes, chunks"},
      {"log_segments", log_segments, "segments of the write-ahead log as the disk has them"},
      {"log_records", log_records, "records whose checksums fit but whose content is anything"},
      {"store_rows", store_rows, "rows of the store as the disk has them"},
      {"bolt_file", bolt_file, "etcd's database file, whoever made it"},
      {"etcd_log", etcd_log, "the log of an etcd member, checksums right and wrong"},
      {"small_files", small_files, "identity, members, changes, introductions"},
      {"http", http, "bytes of a client's socket: HTTP/1, HTTP/2, gRPC"},
      {"http1_body", http1_body, "bodies of HTTP/1.1, cut anywhere"},
      {"json", json, "posted JSON: read, written, found among others"},
      {"grpc_calls", grpc_calls, "well-framed gRPC calls with any path and any message"},
      {"requests", requests, "etcd requests: decode, check, encode"},
      {"commands", commands, "commands and queries of any bytes, applied to a machine"},
      {"answers", answers, "what a server answers to the command line client"},
      {"scenario", scenario, "scenario files"},
      {"history", history, "history files"},
      {"judged_history", judged_history, "histories of any format, read and judged"},
      {"configuration", configuration, "flags, variables and YAML"},
      {"transaction_text", transaction_text, "transactions as etcdctl users write them"},
  };
  return all;
}

const Target* find_target(std::string_view name) {
  for (const Target& target : targets()) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

}  // namespace quorate::fuzz
