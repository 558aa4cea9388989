// What a client may send, up to the machine, and what a server may answer to ours.
#include <sys/socket.h>
#include <unistd.h>

#include <map>

#include "app/messages.h"
#include "base/check.h"
#include "front/etcd/api.h"
#include "front/etcd/api_watch_door.h"
#include "front/etcd/cluster_service.h"
#include "front/etcd/election_service.h"
#include "front/etcd/health_service.h"
#include "front/etcd/json_gateway.h"
#include "front/etcd/kv_service.h"
#include "front/etcd/lease_service.h"
#include "front/etcd/lock_service.h"
#include "front/etcd/maintenance_service.h"
#include "front/etcd/member_requests.h"
#include "front/etcd/pages.h"
#include "front/etcd/request_checks.h"
#include "front/etcd/watch_service.h"
#include "front/grpc/server.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/messages.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/test_disk.h"
#include "storage/wal/fake_world.h"
#include "target.h"

namespace quorate::fuzz {
namespace {

namespace etcd = machine::etcd;
using storage::wal::FakeExecutor;

constexpr size_t kOperationsMax = 128;
constexpr size_t kStepsMax = 64;  // of one input

// A machine over memory that takes what a front proposes at once: a cluster of one.
class OneMember : public node::Service {
 public:
  explicit OneMember(world::Executor& executor) : executor_(executor) {
    auto rows = storage::open_memory_store(disk_, "/store");
    CHECK(rows.has_value(), "a store in memory opens");
    auto machine = etcd::open_etcd_machine(std::move(*rows));
    CHECK(machine.has_value(), "an empty store opens");
    machine_ = std::move(*machine);
  }

  void propose(Bytes command, Time, node::OutcomeCallback done) override {
    executor_.post([this, command = std::move(command), done = std::move(done)]() mutable {
      machine::Reply reply;
      machine_->apply_command(machine_->applied().next(), 2, command, &reply);
      done(node::Applied{machine_->applied(), std::move(reply)});
    });
  }
  void change_members(const node::MemberChange& change, Time, node::OutcomeCallback done) override {
    CHECK(node::decode_member_change(node::encode_member_change(change)) == change,
          "a change that was let through can travel");
    executor_.post([done = std::move(done)]() mutable {
      done(node::RefusedOutcome{node::RefusedWhy::no_leader});
    });
  }
  void change_register(std::string, node::RegisterChange, Time,
                       node::RegisterCallback done) override {
    executor_.post([done = std::move(done)]() mutable {
      done({node::RegisterVerdict::unknown, node::RegisterWhy::timed_out, 0, {}});
    });
  }
  void read_barrier(Time, node::BarrierCallback done) override {
    executor_.post([done = std::move(done)]() mutable { done(std::nullopt); });
  }
  void ask_lease(node::LeaseWish wish, int64_t lease, Time, node::LeaseCallback done) override {
    const auto term = machine_->leases()->find(lease);
    node::LeaseLife life;
    if (term) life = {true, term->granted_seconds, wish == node::LeaseWish::renew ? 1 : 0};
    executor_.post([life, done = std::move(done)]() mutable { done(life); });
  }
  void query(const Bytes& request, machine::Reply& reply) const override {
    machine_->query(request, reply);
  }
  const machine::StateMachine& machine() const override { return *machine_; }
  node::NodeStatus status() const override {
    node::NodeStatus status;
    status.self = NodeId{0x22};
    status.group = GroupId{1};
    status.cluster_id = 0x11;
    status.consensus.leader = status.self;
    status.applied = machine_->applied();
    status.members.emplace_back();
    status.members.back().id = status.self;
    status.members.back().name = "n1";
    status.ready = true;
    return status;
  }
  void defragment(std::move_only_function<void(bool)> done) override {
    executor_.post([done = std::move(done)]() mutable { done(true); });
  }
  NodeId leader() const override { return NodeId{0x22}; }
  uint64_t round() const override { return 2; }
  bool is_learner() const override { return false; }
  void transfer_lead(NodeId) override {}

  etcd::EtcdMachine& etcd_machine() { return *machine_; }

 private:
  world::Executor& executor_;
  storage::TestDisk disk_;
  std::unique_ptr<etcd::EtcdMachine> machine_;
};

struct HandPoller : world::Poller {
  Result<void> watch(int descriptor, bool, bool, Handler& handler) override {
    handlers[descriptor] = &handler;
    return {};
  }
  void change(int, bool, bool) override {}
  void forget(int descriptor) override { handlers.erase(descriptor); }
  std::map<int, Handler*> handlers;
};

// The etcd front with one connection, whose other end is in our hand.
class Front {
 public:
  Front()
      : member_(executor_),
        server_(executor_, poller_,
                {.pages =
                     [this](front::grpc::CallId call, const front::grpc::PageRequest& request) {
                       pages_.on_request(call, request);
                     },
                 .gateway = &gateway_}),
        api_(executor_, server_, member_, options()),
        quota_(api_),
        kv_(api_, quota_),
        lease_(api_, quota_),
        cluster_(api_),
        maintenance_(api_),
        health_(api_),
        watch_door_(api_),
        watch_(watch_door_, 1),
        line_(api_, lease_),
        lock_(api_, line_),
        election_(api_, line_),
        pages_(api_, watch_) {
    server_.add_stream("etcdserverpb.Watch", "Watch", watch_);
    executor_.at_turn_end([this] {
      watch_.on_turn_end();
      watch_.check_invariants();
      line_.on_turn_end();
      election_.on_turn_end();
    });
    int pair[2] = {-1, -1};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "two sockets");
    ours_ = pair[0];
    theirs_ = pair[1];
    server_.on_accepted(theirs_);
    executor_.settle();
  }
  ~Front() {
    line_.stop();
    server_.close_all();
    executor_.settle();
    ::close(ours_);
  }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(ours_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      if (!turn() || sent == 0) return;
    }
    turn();
  }
  void half_close() {
    ::shutdown(ours_, SHUT_WR);
    turn();
  }
  void pass(Duration time) {
    executor_.advance(time);
    turn();
  }

 private:
  static front::etcd::EtcdOptions options() {
    front::etcd::EtcdOptions made;
    made.name = "n1";
    made.version = "3.7.1";
    made.advertise_client_urls = {"http://127.0.0.1:2379"};
    made.new_member_id = [](const std::vector<std::string>&, int64_t) { return uint64_t{7}; };
    return made;
  }

  // False once the server has closed the connection.
  bool turn() {
    char space[4096];
    for (int round = 0; round < 8; ++round) {
      const auto found = poller_.handlers.find(theirs_);
      if (found == poller_.handlers.end()) return false;
      found->second->on_ready(true, true, false);
      executor_.settle();
      while (::recv(ours_, space, sizeof space, 0) > 0) {
      }
    }
    return true;
  }

  FakeExecutor executor_;
  HandPoller poller_;
  OneMember member_;
  front::etcd::JsonGateway gateway_;
  front::grpc::Server server_;
  front::etcd::Api api_;
  front::etcd::Quota quota_;
  front::etcd::KvService kv_;
  front::etcd::LeaseService lease_;
  front::etcd::ClusterService cluster_;
  front::etcd::MaintenanceService maintenance_;
  front::etcd::HealthService health_;
  front::etcd::ApiWatchDoor watch_door_;
  front::etcd::WatchService watch_;
  front::etcd::WaitingLine line_;
  front::etcd::LockService lock_;
  front::etcd::ElectionService election_;
  front::etcd::Pages pages_;
  int ours_ = -1;
  int theirs_ = -1;
};

// ---- HTTP/2 by hand (RFC 9113): only as much as a call needs.

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string http2_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame;
  for (const unsigned shift : {16U, 8U, 0U}) {
    frame.push_back(static_cast<char>(payload.size() >> shift & 0xffU));
  }
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    frame.push_back(static_cast<char>(stream >> shift & 0xffU));
  }
  frame.append(payload);
  return frame;
}

// Literal without indexing, plain strings (RFC 7541, section 6.2.2); both below 127 bytes.
void add_header(std::string& block, std::string_view name, std::string_view value) {
  block.push_back('\0');
  block.push_back(static_cast<char>(name.size()));
  block.append(name);
  block.push_back(static_cast<char>(value.size()));
  block.append(value);
}

std::string call_frames(uint32_t stream, std::string_view path, std::string_view message) {
  std::string block;
  add_header(block, ":method", "POST");
  add_header(block, ":scheme", "http");
  add_header(block, ":path", path.substr(0, 126));
  add_header(block, ":authority", "fuzz");
  add_header(block, "content-type", "application/grpc");
  add_header(block, "te", "trailers");
  std::string body(1, '\0');
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    body.push_back(static_cast<char>(message.size() >> shift & 0xffU));
  }
  body.append(message);
  std::string frames = http2_frame(1, 4, stream, block);  // HEADERS, END_HEADERS
  for (size_t at = 0; at < body.size(); at += 16384) {    // the largest frame without settings
    const bool last = at + 16384 >= body.size();
    frames += http2_frame(0, last ? 1 : 0, stream, body.substr(at, 16384));
  }
  return frames;
}

constexpr std::string_view kPaths[] = {"/etcdserverpb.KV/Range",
                                       "/etcdserverpb.KV/Put",
                                       "/etcdserverpb.KV/DeleteRange",
                                       "/etcdserverpb.KV/Txn",
                                       "/etcdserverpb.KV/Compact",
                                       "/etcdserverpb.Cluster/MemberAdd",
                                       "/etcdserverpb.Cluster/MemberRemove",
                                       "/etcdserverpb.Cluster/MemberUpdate",
                                       "/etcdserverpb.Cluster/MemberList",
                                       "/etcdserverpb.Cluster/MemberPromote",
                                       "/etcdserverpb.Maintenance/Status",
                                       "/etcdserverpb.Maintenance/MoveLeader",
                                       "/grpc.health.v1.Health/Check",
                                       "/grpc.health.v1.Health/Watch",
                                       "/v3lockpb.Lock/Lock",
                                       "/v3lockpb.Lock/Unlock",
                                       "/v3electionpb.Election/Campaign",
                                       "/v3electionpb.Election/Proclaim",
                                       "/v3electionpb.Election/Leader",
                                       "/v3electionpb.Election/Observe",
                                       "/v3electionpb.Election/Resign",
                                       "/etcdserverpb.Lease/LeaseKeepAlive",
                                       "/etcdserverpb.Watch/Watch"};

// ---- Requests.

template <class Decode>
void encode_and_decode(std::string_view wire, Decode decode) {
  const auto request = decode(wire);
  if (!request) return;
  std::string again;
  etcd::encode(*request, again);
  const auto second = decode(again);
  CHECK(second, "an encoded request can be decoded");
  std::string third;
  etcd::encode(*second, third);
  CHECK(third == again, "and then stays the same");
}

}  // namespace

void http(std::string_view input) {
  Bits bits(input);
  Front front;
  const uint8_t mode = bits.byte();
  if ((mode & 1U) != 0) front.send(kPreface);
  for (size_t step = 0; step < kStepsMax && !bits.empty(); ++step) front.send(bits.piece());
  if ((mode & 2U) != 0) front.half_close();
  front.pass(std::chrono::seconds(mode >> 2U));
}

void grpc_calls(std::string_view input) {
  Bits bits(input);
  Front front;
  front.send(std::string(kPreface) + http2_frame(4, 0, 0, ""));
  uint32_t stream = 1;
  for (size_t step = 0; step < kStepsMax && !bits.empty(); ++step, stream += 2) {
    const uint8_t choice = bits.byte();
    const bool known = choice < std::size(kPaths);
    const std::string_view path = known ? kPaths[choice] : bits.piece();
    front.send(call_frames(stream, path, bits.piece()));
    if ((choice & 0x40U) != 0) front.pass(std::chrono::milliseconds(100));
  }
}

void requests(std::string_view input) {
  Bits bits(input);
  const uint8_t kind = bits.byte();
  const std::string_view wire = bits.rest();
  switch (kind % 7) {
    case 0:
      if (const auto request = etcd::decode_range_request(wire)) {
        static_cast<void>(front::etcd::check_range(*request));
      }
      return encode_and_decode(wire, etcd::decode_range_request);
    case 1:
      if (const auto request = etcd::decode_put_request(wire)) {
        static_cast<void>(front::etcd::check_put(*request));
      }
      return encode_and_decode(wire, etcd::decode_put_request);
    case 2:
      if (const auto request = etcd::decode_delete_range_request(wire)) {
        static_cast<void>(front::etcd::check_delete_range(*request));
      }
      return encode_and_decode(wire, etcd::decode_delete_range_request);
    case 3:
      if (const auto request = etcd::decode_txn_request(wire)) {
        static_cast<void>(front::etcd::check_txn(*request, kOperationsMax));
        static_cast<void>(front::etcd::reads_only(*request));
        static_cast<void>(front::etcd::serializable(*request));
      }
      return encode_and_decode(wire, etcd::decode_txn_request);
    case 4:
      return encode_and_decode(wire, etcd::decode_compaction_request);
    case 5:
      return encode_and_decode(wire, etcd::decode_key_value);
    default:
      break;
  }
  for (const auto member :
       {front::etcd::MemberRequestKind::add, front::etcd::MemberRequestKind::remove,
        front::etcd::MemberRequestKind::update, front::etcd::MemberRequestKind::promote,
        front::etcd::MemberRequestKind::replace}) {
    const auto request = front::etcd::decode_member_request(member, wire);
    if (request) static_cast<void>(front::etcd::peer_urls(request->urls));
  }
}

void commands(std::string_view input) {
  Bits bits(input);
  FakeExecutor executor;
  OneMember member(executor);
  OneMember twin(executor);  // whoever applies the same log must end in the same state
  for (size_t step = 0; step < kStepsMax && !bits.empty(); ++step) {
    const uint8_t kind = bits.byte();
    const std::string_view wire = bits.piece();
    machine::Reply reply;
    if ((kind & 0x40U) != 0) {
      member.query(etcd::make_query(static_cast<etcd::QueryKind>(kind & 0x3fU), wire), reply);
      continue;
    }
    const Bytes command = (kind & 0x80U) != 0
                              ? Bytes{std::string(wire)}
                              : etcd::make_command(static_cast<etcd::CommandKind>(kind), wire);
    for (OneMember* each : {&member, &twin}) {
      etcd::EtcdMachine& machine = each->etcd_machine();
      machine.apply_command(machine.applied().next(), 2, command,
                            each == &member ? &reply : nullptr);
    }
  }
  CHECK(member.etcd_machine().commit_batch(), "a store in memory takes everything");
  CHECK(twin.etcd_machine().commit_batch(), "a store in memory takes everything");
  CHECK(member.etcd_machine().state_hash() == twin.etcd_machine().state_hash(),
        "one log, one state, whether somebody waits for the replies or not");
}

void answers(std::string_view input) {
  static_cast<void>(etcd::decode_range_response(input));
  static_cast<void>(etcd::decode_put_response(input));
  static_cast<void>(etcd::decode_delete_range_response(input));
  static_cast<void>(etcd::decode_txn_response(input));
  static_cast<void>(etcd::decode_compaction_response(input));
  static_cast<void>(app::decode_status(input));
  static_cast<void>(app::decode_member_list(input));
  static_cast<void>(app::decode_member_added(input));
  static_cast<void>(etcd::decode_member_attributes_list(input));
}

}  // namespace quorate::fuzz
