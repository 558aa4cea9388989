// front/etcd/test_line_rig.h: for tests: the whole front on a socket over a real machine in
// memory, which applies at once what is proposed; and callers who wait.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "front/etcd/fake_service.h"
#include "front/etcd/server.h"
#include "front/etcd/test_loop.h"
#include "front/etcd/wire.h"
#include "front/grpc/test_client.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::front::etcd {

class LineRig {
 public:
  explicit LineRig(const std::function<void(EtcdOptions&)>& adjust = {}) : service_(*loop_) {
    EtcdOptions options;
    options.version = "3.6.4";
    options.auth.bcrypt_cost = 4;  // tests are in a hurry
    options.new_member_id = [](const std::vector<std::string>&, int64_t) { return uint64_t{77}; };
    if (adjust) adjust(options);
    service_.real_machine = &state_->machine();
    service_.apply = [this](const Bytes& command) {
      machine::Reply reply;
      auto& machine = state_->machine();
      machine.apply_command(machine.applied().next(), 1, command, &reply);
      state_->commit();
      return reply;
    };
    options.client_loops = loop_.client_loops();
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    port_ = *server_->listen("127.0.0.1:0");
    loop_.start();
  }
  ~LineRig() {
    loop_.stop();
    server_.reset();
  }
  LineRig(const LineRig&) = delete;
  LineRig& operator=(const LineRig&) = delete;

  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  void apply(const std::function<void(machine::etcd::MachineFixture&)>& task) {
    on_loop([&] {
      task(*state_);
      state_->commit();
    });
  }
  void grant(int64_t id) {
    machine::etcd::LeaseGrantRequest request;
    request.id = id;
    request.ttl = 60;
    apply([&](auto& state) {
      const auto wire = machine::etcd::MachineFixture::wire(request);
      EXPECT_EQ(state.apply(machine::etcd::CommandKind::lease_grant, wire).code, 0);
    });
  }
  void revoke(int64_t id) {
    apply([&](auto& state) {
      const auto wire =
          machine::etcd::MachineFixture::wire(machine::etcd::LeaseRevokeRequest{id, 0});
      EXPECT_EQ(state.apply(machine::etcd::CommandKind::lease_revoke, wire).code, 0);
    });
  }
  bool holds(const std::string& key) {
    bool found = false;
    on_loop([&] {
      std::string scratch;
      const auto& machine = state_->machine();
      found = machine.record_at(key, machine.revisions().current, scratch).has_value();
    });
    return found;
  }
  // Whether it comes to that within ten seconds.
  static bool comes(const std::function<bool()>& condition) {
    for (int round = 0; round < 1000; ++round) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return condition();
  }
  uint64_t keys() {
    uint64_t count = 0;
    on_loop([&] { count = state_->machine().key_count(); });
    return count;
  }
  uint64_t leases() {
    uint64_t count = 0;
    on_loop([&] { count = state_->machine().lease_count(); });
    return count;
  }
  void replace_state(std::unique_ptr<machine::etcd::MachineFixture> state) {
    on_loop([&] {
      service_.real_machine = &state->machine();
      std::swap(state_, state);
    });
  }
  FakeService& service() { return service_; }
  EtcdServer& server() { return *server_; }
  uint16_t port() const { return port_; }

 private:
  std::unique_ptr<machine::etcd::MachineFixture> state_ =
      std::make_unique<machine::etcd::MachineFixture>();
  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<EtcdServer> server_;
  uint16_t port_ = 0;
};

// One call that may last.
class Caller {
 public:
  Caller(uint16_t port, std::string_view path, std::string_view message, grpc::Headers more = {})
      : client_(port) {
    stream_ = client_.start(grpc::TestClient::grpc_headers(path, std::move(more)),
                            grpc::TestClient::frame(message));
    client_.flush();
  }
  bool waits() {
    client_.pump(std::chrono::milliseconds(100));
    return !client_.answer(stream_).ended;
  }
  grpc::TestAnswer& answer() { return client_.wait(stream_); }
  std::string answer_so_far() { return client_.answer(stream_).first_message(); }
  void leave() {
    client_.reset(stream_, 8);  // CANCEL
    client_.flush();
  }
  int64_t revision() {  // of the answer's header
    const std::string message = answer().first_message();
    machine::etcd::ResponseHeader header;
    const auto field = read_field(message, 1);
    EXPECT_TRUE(field && machine::etcd::merge(field->text, header));
    return header.revision;
  }
  std::string text(uint32_t number) {
    const std::string message = answer().first_message();
    const auto field = read_field(message, number);
    return field ? std::string(field->text) : "malformed";
  }

 private:
  grpc::TestClient client_;
  int32_t stream_ = 0;
};

// Many calls on one connection, none of which is answered.
class TestWaiters {
 public:
  TestWaiters(LineRig& rig, std::string_view path)
      : rig_(rig), path_(path), client_(std::make_unique<grpc::TestClient>(rig.port())) {}
  void add(std::string_view message) {
    streams_.push_back(
        client_->start(grpc::TestClient::grpc_headers(path_), grpc::TestClient::frame(message)));
    if (streams_.size() % 16 == 0) client_->flush();
  }
  // That all have come, and none has an answer.
  bool all_wait() {
    client_->flush();
    const bool there = LineRig::comes([&] {
      client_->pump(std::chrono::milliseconds(10));
      size_t asked = 0;  // of the node, by somebody
      rig_.on_loop([&] { asked = rig_.service().held.size() + rig_.service().barriers; });
      return asked == streams_.size();
    });
    client_->pump(std::chrono::milliseconds(200));
    return there && std::ranges::none_of(
                        streams_, [&](int32_t stream) { return client_->answer(stream).ended; });
  }
  void leave() { client_.reset(); }

 private:
  LineRig& rig_;
  std::string_view path_;
  std::unique_ptr<grpc::TestClient> client_;
  std::vector<int32_t> streams_;
};

}  // namespace quorate::front::etcd
