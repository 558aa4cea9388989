// fuzz_seeds: writes the seeds of the corpora, one directory for each target.
//
//   fuzz_seeds DIRECTORY
//
// Seeds are what our own encoders make, so they follow every change of a format: run it again
// after one. Inputs that once broke something are kept beside them under other names.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/codec.h"
#include "check/history_text.h"
#include "consensus/members.h"
#include "consensus/raft/wire.h"
#include "front/etcd/json_messages.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/messages.h"
#include "node/identity.h"
#include "node/introduction.h"
#include "node/member_about.h"
#include "node/member_change.h"
#include "node/registers/file.h"
#include "node/registers/wire.h"
#include "node/wire.h"
#include "storage/bolt/writer.h"
#include "storage/wal/fake_world.h"
#include "storage/wal/stored_state.h"
#include "storage/wal/stored_write.h"
#include "storage/wal/wal.h"
#include "target.h"
#include "world/real/wire.h"

namespace quorate::fuzz {
namespace {

namespace etcd = machine::etcd;

class Seeds {
 public:
  explicit Seeds(std::filesystem::path directory) : directory_(std::move(directory)) {}
  void add(const std::string& target, const std::string& name, std::string_view content) {
    std::filesystem::create_directories(directory_ / target);
    std::ofstream file(directory_ / target / ("seed-" + name), std::ios::binary);
    file << content;
    ++count_;
  }
  size_t count() const { return count_; }

 private:
  std::filesystem::path directory_;
  size_t count_ = 0;
};

std::string bytes(std::initializer_list<int> list) {
  std::string text;
  for (const int value : list) text.push_back(static_cast<char>(value));
  return text;
}

consensus::Members three_members() {
  consensus::Members members;
  for (uint64_t id = 1; id <= 3; ++id) {
    const node::MemberAbout about{
        "n" + std::to_string(id), {"http://127.0.0.1:238" + std::to_string(id)}, false};
    members.voters.push_back({NodeId{id}, 0, node::encode_member_about(about)});
  }
  return members;
}

std::vector<consensus::Entry> some_entries() {
  std::vector<consensus::Entry> entries;
  entries.push_back({Index{2}, {2, {}}, consensus::EntryKind::noop, {}, {}});
  entries.push_back({Index{3}, {2, {}}, consensus::EntryKind::command, {NodeId{1}, 9}, Bytes("x")});
  entries.push_back({Index{4},
                     {2, {}},
                     consensus::EntryKind::members,
                     {NodeId{1}, 10},
                     consensus::encode_members(three_members())});
  return entries;
}

std::vector<std::pair<std::string, Bytes>> peer_frames() {
  namespace raft = consensus::raft;
  std::vector<std::pair<std::string, Bytes>> frames;
  const auto add = [&](const std::string& name, const auto& frame) {
    frames.emplace_back(name, node::encode(GroupId{1}, frame));
  };
  const auto say = [&](const std::string& name, const raft::Body& body,
                       std::vector<consensus::Entry> entries = {}) {
    consensus::Message message;
    message.from = NodeId{1};
    message.to = NodeId{2};
    message.head = raft::encode_head({7, 0, false, body});
    message.entries = std::move(entries);
    add(name, message);
  };
  say("vote-request", raft::VoteRequest{true, false, 8, 5, Index{4}, 2});
  say("vote-reply", raft::VoteReply{true, true, 5});
  say("append", raft::Append{Index{1}, 1, Index{1}}, some_entries());
  say("append-reply", raft::AppendReply{false, Index{4}, Index{2}, 2});
  say("heartbeat", raft::Heartbeat{true, Index{4}, 2, 6});
  say("heartbeat-reply", raft::HeartbeatReply{6, Index{4}, {}});
  say("timeout-now", raft::TimeoutNow{});
  say("repair-request", raft::RepairRequest{true, false, {{Index{2}, Index{3}, 2}}});
  say("repair-reply", raft::RepairReply{Index{2}, 2, Index{3}, Index{1}});
  add("hello", node::Hello{5, node::LifeState::formed});
  add("forward", node::Forward{2, {NodeId{2}, 4}, Bytes("command"), false});
  const node::MemberChange change{node::ChangeKind::add_voter, NodeId{9}, {}, {"http://a:1"}};
  add("forward-change", node::Forward{2, {NodeId{2}, 5}, node::encode_member_change(change), true});
  add("forward-refused", node::ForwardRefused{2, {NodeId{2}, 4}, node::ForwardRefusal::later});
  add("read-ask", node::ReadAsk{ReadId{3}});
  add("read-answer", node::ReadAnswer{ReadId{3}, Index{44}});
  node::SnapshotHeader header;
  header.transfer = 3;
  header.meta = {Index{5}, {2, {}}, consensus::encode_members(three_members())};
  header.files = {{"CURRENT", 3, 0x12345678}, {"000001.sst", 2, 0}};
  add("snapshot-header", header);
  add("snapshot-chunk", node::SnapshotChunk{3, 0, 0, Bytes("abc")});
  add("snapshot-end", node::SnapshotEnd{3});
  add("snapshot-progress", node::SnapshotProgress{3, 1, node::SnapshotState::whole});
  namespace caspaxos = consensus::caspaxos;
  const auto add_registers = [&](const std::string& name, const node::RegisterPayload& payload) {
    add(("registers-" + name).c_str(), node::RegisterFrame{node::encode_register_payload(payload)});
  };
  const consensus::Ballot ballot{3, NodeId{2}};
  const caspaxos::Vote vote{ballot, {1, Bytes("v"), {{NodeId{2}, 7}}}};
  add_registers("acceptors", node::AcceptorSet{{NodeId{1}, NodeId{2}, NodeId{3}}});
  add_registers("prepare", caspaxos::Prepare{"x", ballot});
  add_registers("promise", caspaxos::Promise{"x", ballot, vote});
  add_registers("accept", caspaxos::Accept{"x", vote});
  add_registers("accepted", caspaxos::Accepted{"x", ballot});
  add_registers("refused", caspaxos::Refused{"x", ballot, {4, NodeId{1}}});
  return frames;
}

void add_peer(Seeds& seeds) {
  std::string stream;
  std::string snapshot;
  for (const auto& [name, frame] : peer_frames()) {
    seeds.add("peer_frame", name, frame.view());
    stream += bytes({1}) + piece_of(frame.view());
    if (name.starts_with("snapshot")) snapshot += bytes({0}) + piece_of(frame.view());
  }
  seeds.add("peer_stream", "valid", bytes({1, 2, 50, 0}) + stream);
  world::Hello hello;
  hello.cluster_id = 5;
  hello.self = NodeId{1};
  hello.expected = NodeId{2};
  std::string raw = world::encode_hello(hello);
  const Bytes payload("payload");
  const auto header = world::encode_frame_header(world::Lane::normal, false, payload);
  raw.append(reinterpret_cast<const char*>(header.data()), header.size());
  raw.append(payload.view());
  seeds.add("peer_stream", "raw", bytes({2, 1}) + raw);
  seeds.add("snapshot_frames", "whole", snapshot);
}

void add_log(Seeds& seeds) {
  storage::wal::FakeDisk disk;
  storage::wal::FakeExecutor executor;
  storage::WalOptions options;
  options.directory = "/wal";
  options.segment_bytes = 16 << 10;
  auto wal = storage::open_wal(disk, executor, options);
  if (!wal) return;
  (*wal)->set_callbacks([](GroupId, WriteId, Duration) {}, [](const Error&) {});
  const GroupId group{1};
  consensus::Write write;
  write.id = WriteId{1};
  write.hard_state = consensus::HardState{{2, NodeId{1}}, {}, Index{1}};
  write.snapshot =
      consensus::SnapshotMeta{Index{1}, {1, {}}, consensus::encode_members(three_members())};
  write.entries = some_entries();
  Encoder encoded;
  storage::wal::EncodedWrite layout;
  storage::wal::encode_write(encoded, write, false, layout);
  (*wal)->append(group, std::move(write));
  (*wal)->flush();
  executor.settle();
  std::string pieces;
  for (auto [path, content] : disk.image()) {
    content.resize(content.find_last_not_of('\0') + 1);
    pieces += piece_of(content);
  }
  seeds.add("log_segments", "one-write", pieces);
  storage::wal::StoredState checkpoint;
  checkpoint.oldest_needed = 1;
  storage::wal::StoredGroup stored;
  stored.group = group;
  stored.since = Index{1};
  checkpoint.groups.push_back(stored);
  Encoder first;
  storage::wal::encode_state(first, checkpoint);
  // Shapes: 0xa0 begins a batch, 8 has a front; the low bits are the type less one.
  const auto front = static_cast<uint8_t>(layout.front);
  const std::string records = bytes({0, 0x80, 0, 0}) + piece_of(first.text()) +
                              bytes({0x89, 1, 0, front, 0}) + piece_of(encoded.text());
  seeds.add("log_records", "one-write", piece_of(records));
  checkpoint.groups.front().group = GroupId{};
  Encoder of_nobody;
  storage::wal::encode_state(of_nobody, checkpoint);
  seeds.add("log_records", "no-group",
            piece_of(bytes({0, 0x80, 0, 0}) + piece_of(of_nobody.text())));
}

std::string encoded(const auto& request) {
  std::string text;
  etcd::encode(request, text);
  return text;
}

void add_requests(Seeds& seeds) {
  etcd::RangeRequest range;
  range.key = "a";
  range.range_end = "z";
  range.limit = 3;
  range.sort_order = 2;
  range.sort_target = 1;
  etcd::PutRequest put;
  put.key = "key";
  put.value = "value";
  put.prev_kv = true;
  etcd::DeleteRangeRequest remove;
  remove.key = "a";
  remove.range_end = "z";
  etcd::TxnRequest txn;
  etcd::Compare compare;
  compare.target = 3;
  compare.key = "key";
  compare.value = "value";
  txn.compare.push_back(compare);
  txn.success.push_back({put});
  txn.success.push_back({range});
  txn.failure.push_back({remove});
  etcd::TxnRequest nested;
  nested.success.push_back({txn});
  const etcd::CompactionRequest compact{2, true};
  const etcd::KeyValue pair{"k", 2, 3, 2, "v", 0};
  const std::vector<std::pair<std::string, std::string>> wires = {
      {"range", encoded(range)},
      {"put", encoded(put)},
      {"delete", encoded(remove)},
      {"txn", encoded(nested)},
      {"compact", encoded(compact)},
      {"pair", encoded(pair)},
      {"member", bytes({10, 10}) + "http://a:1" + bytes({16, 1})}};
  std::string all;
  std::string calls;
  const int kinds[] = {0x41, 1, 2, 3, 4};  // a range is a query, the others are commands
  const int paths[] = {0, 1, 2, 3, 4};
  for (size_t at = 0; at < wires.size(); ++at) {
    seeds.add("requests", wires[at].first, bytes({static_cast<int>(at)}) + wires[at].second);
    if (at >= 5) continue;
    all += bytes({kinds[at]}) + piece_of(wires[at].second);
    calls += bytes({paths[at]}) + piece_of(wires[at].second);
  }
  seeds.add("commands", "all", all + all);
  const etcd::MemberAttributes attributes{7, "n1", {"http://127.0.0.1:2379"}};
  seeds.add(
      "commands", "attributes",
      bytes({5}) + piece_of(etcd::encode_member_attributes(attributes)) + bytes({0x43, 0, 0}));
  seeds.add("grpc_calls", "kv", calls + calls);
  std::string others;
  for (int path = 5; path <= 13; ++path) others += bytes({path}) + piece_of(wires.back().second);
  seeds.add("grpc_calls", "others", others + bytes({99}) + piece_of("/a.B/C") + piece_of("x"));
  seeds.add("store_rows", "noise", piece_of("key") + piece_of("value"));
}

void add_answers(Seeds& seeds) {
  const std::string header = bytes({10, 4, 8, 1, 24, 7});
  const std::string pair = encoded(etcd::KeyValue{"k", 2, 3, 2, "v", 0});
  seeds.add("answers", "range",
            header + bytes({18}) + bytes({static_cast<int>(pair.size())}) + pair + bytes({32, 1}));
  seeds.add("answers", "txn", header + bytes({16, 1, 26, 8, 18, 6}) + header);
  seeds.add("answers", "members", header + bytes({18, 6, 8, 9, 18, 2}) + "n1");
}

void add_http(Seeds& seeds) {
  seeds.add("http", "get",
            bytes({0}) + piece_of("GET /health HTTP/1.1\r\nHost: a\r\n\r\n") +
                piece_of("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
  const std::string settings = bytes({0, 0, 0, 4, 0, 0, 0, 0, 0});
  const std::string ping = bytes({0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8});
  const std::string block = bytes({0x82, 0x86, 0x84});  // GET, http, /
  const std::string headers =
      bytes({0, 0, static_cast<int>(block.size()), 1, 5, 0, 0, 0, 1}) + block;
  const std::string reset = bytes({0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8});
  const std::string goaway = bytes({0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0});
  seeds.add("http", "http2",
            bytes({1}) + piece_of(settings + ping) + piece_of(headers) + piece_of(reset + goaway));
}

std::string posted(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

void add_gateway(Seeds& seeds) {
  seeds.add(
      "http", "watch",
      bytes({2}) + piece_of(posted("/v3/watch", R"({"create_request":{"key":"YQ==",)"
                                                R"("prev_kv":true}}{"progress_request":{}})")));
  seeds.add("http", "line",
            bytes({0}) + piece_of(posted("/v3/lock/lock", R"({"name":"YQ=="})")) +
                piece_of(posted("/v3/kv/put", R"({"key":"bw==","value":"dg=="})")));
  seeds.add("http", "election",
            bytes({0}) +
                piece_of(posted("/v3/election/campaign", R"({"name":"YQ==","value":"Yg=="})")) +
                piece_of(posted("/v3/election/leader", R"({"name":"YQ=="})")) +
                piece_of(posted("/v3/election/observe", R"({"name":"YQ=="})")));
  seeds.add("http", "chunks",
            bytes({0}) +
                piece_of("POST /v3/lease/keepalive HTTP/1.1\r\nGrpc-Timeout: 1S\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"ID\":5}{\r\n") +
                piece_of("7\r\n\"ID\":6}\r\n0\r\n\r\n"));
  seeds.add("http1_body", "length", bytes({0, 5, 0}) + piece_of("hel") + piece_of("lo"));
  seeds.add("http1_body", "chunks",
            bytes({1, 0, 0}) + piece_of("3;x=y\r\nab") + piece_of("c\r\n0\r\nT: z\r\n\r\n"));
  const auto json_seed = [&](const std::string& name, front::etcd::MessageId id,
                             std::string_view text) {
    seeds.add("json", name, bytes({static_cast<int>(id) - 1, 9, 0}) + std::string(text));
  };
  json_seed("range", front::etcd::MessageId::range_request,
            R"({"key":"YQ==","rangeEnd":"AA==","limit":"5","sort_order":"DESCEND","x":[{}]})");
  json_seed("txn", front::etcd::MessageId::txn_request,
            R"({"compare":[{"key":"YQ==","target":"MOD","mod_revision":1e3}],)"
            R"("success":[{"request_put":{"key":"YQ=="}},{"request_txn":{}}]})");
  json_seed("watch", front::etcd::MessageId::watch_request,
            R"({"create_request":{"key":"YQ==","filters":["NODELETE",0],"watch_id":"-1"}})");
  json_seed("members", front::etcd::MessageId::members_response,
            R"({"header":{"revision":"7"},"members":[{"ID":"18446744073709551615",)"
            R"("name":"\u00e9\"}{","peerURLs":["http://a:1"],"isLearner":true}]})");
}

void add_small_files(Seeds& seeds) {
  node::Identity identity{5, NodeId{1}, 3, false, 100, Index{2}, "n1", "token"};
  seeds.add("small_files", "identity",
            bytes({0}) + std::string(node::encode_identity(identity).view()));
  const node::MemberAbout about{"n1", {"http://127.0.0.1:2380"}, true};
  seeds.add("small_files", "about",
            bytes({1}) + std::string(node::encode_member_about(about).view()));
  const Bytes members = consensus::encode_members(three_members());
  seeds.add("small_files", "members", bytes({2}) + std::string(members.view()));
  const node::MemberChange change{node::ChangeKind::replace, NodeId{4}, NodeId{2}, {}};
  seeds.add("small_files", "change",
            bytes({3}) + std::string(node::encode_member_change(change).view()));
  const node::Introduction introduction{5, GroupId{1}, Index{2}, three_members()};
  seeds.add("small_files", "introduction",
            bytes({4}) + std::string(node::encode_introduction(introduction).view()));
  node::RegisterFile registers{5,    NodeId{1}, NodeId{1}, {NodeId{1}, NodeId{2}, NodeId{3}},
                               true, {}};
  registers.durable.rounds_reserved = 1025;
  const consensus::caspaxos::Vote vote{{3, NodeId{2}}, {1, Bytes("v"), {{NodeId{2}, 7}}}};
  registers.durable.registers["x"] = {{4, NodeId{1}}, vote};
  seeds.add("small_files", "registers",
            bytes({5}) + std::string(node::encode_register_file(registers).view()));
}

void add_bolt(Seeds& seeds) {
  storage::bolt::Writer writer;
  writer.begin_bucket("key");
  for (char key = 'a'; key < 'd'; ++key) writer.put(std::string(17, key), std::string(3000, key));
  writer.end_bucket();
  writer.begin_bucket("lease");
  writer.end_bucket();
  writer.begin_bucket("meta");
  writer.put("consistent_index", std::string(8, '\1'));
  writer.end_bucket();
  const std::string front = writer.finish();
  seeds.add("bolt_file", "three-buckets", front + writer.output());
  storage::bolt::Writer whole;
  std::string pair;
  etcd::encode(etcd::KeyValue{"k", 2, 2, 1, "v", 5}, pair);
  whole.begin_bucket("key");
  whole.put(std::string(7, '\0') + "\2_" + std::string(8, '\0'), pair);
  whole.end_bucket();
  whole.begin_bucket("lease");
  whole.put(std::string(7, '\0') + "\5", "\x08\x05\x10\x5a");
  whole.end_bucket();
  whole.begin_bucket("meta");
  whole.put("finishedCompactRev", std::string(7, '\0') + "\2_" + std::string(8, '\0'));
  whole.end_bucket();
  const std::string first = whole.finish();
  seeds.add("bolt_file", "etcd", first + whole.output());
  // Two entries of the log, the second with a put.
  const std::string entries = bytes({1, 2}) + piece_of(bytes({16, 1, 24, 3})) + bytes({2}) +
                              piece_of(bytes({16, 1, 24, 4, 34, 2, 34, 0}));
  seeds.add("etcd_log", "two-entries", piece_of(entries) + bytes({3}));
}

void add_texts(Seeds& seeds) {
  seeds.add("history", "all", R"(quorate-history 1
1 start revision=1 compacted=0
1000 call 1 process=0 put key="a" value="1"
1400 call 2 process=1 get key="a" end="b" limit=3
1900 ok 1 revision=2 answer
2100 ok 2 revision=2 answer count=1 [key="a" value="1" create=2 mod=2 version=1 lease=0]
2500 call 3 process=0 txn if mod "a" = 2 then put key="a" value="2" else get key="a"
2600 watch 1 process=2 key="a" from=2 previous
2700 created 1 revision=2
2800 events 1 revision=3 put [key="a" value="2" mod=3] was [key="a" value="1" mod=2]
2900 ended 1 compacted=2 "why"
9000 unknown 3 "timed \x41 out"
9100 hash member=1 revision=3 hash=77
9200 queue member=1 name="q" size=1 limit=2
9300 settled
)");
  seeds.add("judged_history", "register", R"(INFO  jepsen.util - 0	:invoke	:write	1
INFO  jepsen.util - 0	:ok	:write	1
INFO  jepsen.util - 1	:invoke	:cas	[1 2]
INFO  jepsen.util - 2	:invoke	:read	nil
INFO  jepsen.util - 1	:info	:cas	:timed-out
INFO  jepsen.util - :nemesis	:info	:start	nil
INFO  jepsen.util - 2	:ok	:read	2
)");
  seeds.add("judged_history", "key-value",
            R"({:process 0, :type :invoke, :f :append, :key "a", :value "x"}
{:process 1, :type :invoke, :f :put, :key "b", :value "y"}
{:process 0, :type :ok, :f :append, :key "a", :value "x"}
{:process 1, :type :info, :f :put, :key "b", :value "y"}
{:process 0, :type :invoke, :f :get, :key "a", :value nil}
{:process 0, :type :ok, :f :get, :key "a", :value "x"}
)");
  // Contradictions, so that making them small is reached too.
  seeds.add("judged_history", "stale", R"(quorate-history 1
1000 call 1 process=0 put key="a" value="1"
1400 ok 1 revision=2 answer
1500 call 2 process=0 put key="a" value="2"
1900 ok 2 revision=3 answer
2000 call 3 process=1 get key="a"
2400 ok 3 revision=2 answer count=1 [key="a" value="1" create=2 mod=2 version=1 lease=0]
2600 watch 1 process=2 key="a" from=2
2700 created 1 revision=3
2800 events 1 revision=3 put [key="a" value="2" mod=3]
9300 settled
)");
  seeds.add("scenario", "plain", R"(# A story.
nodes 3
seeds 4
at 400 clients 5000
at 1500 let L be leader
at 1500 cut L-*
from 1600 to 2000 every 100 read L
at 3500 heal
)");
  seeds.add("configuration", "yaml", bytes({1}) + R"(name: n1
data-dir: /data
listen-client-urls: http://127.0.0.1:2379
advertise-client-urls: http://127.0.0.1:2379
heartbeat-interval: 100
)");
  seeds.add("configuration", "flags", bytes({0}) + R"(--name
n1
-listen-peer-urls=http://127.0.0.1:2380,http://[::1]:2380
--initial-advertise-peer-urls=http://127.0.0.1:2380
--initial-cluster=n1=http://127.0.0.1:2380
--pre-vote=false
--quota-backend-bytes=8GB
)");
  seeds.add("configuration", "variables", bytes({2}) + "ETCD_NAME=n1\nETCD_SNAPSHOT_COUNT=10\n");
  seeds.add("transaction_text", "all", R"(mod("key") > "0"
value("a b") = "x\n\x41"
create("c") != "1"

put key "new value"
get --prefix a

del a b
put --lease=7 x y
)");
}

}  // namespace
}  // namespace quorate::fuzz

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  quorate::fuzz::Seeds seeds(words[1]);
  quorate::fuzz::add_peer(seeds);
  quorate::fuzz::add_log(seeds);
  quorate::fuzz::add_requests(seeds);
  quorate::fuzz::add_answers(seeds);
  quorate::fuzz::add_http(seeds);
  quorate::fuzz::add_gateway(seeds);
  quorate::fuzz::add_small_files(seeds);
  add_bolt(seeds);
  quorate::fuzz::add_texts(seeds);
  std::printf("%zu seeds in %s\n", seeds.count(), words[1]);
  return 0;
}
