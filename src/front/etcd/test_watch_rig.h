// front/etcd/test_watch_rig.h: for tests: the Watch service on a socket over a real machine in
// memory, and a client written with the protobuf library.
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "etcd.pb.h"
#include "front/etcd/api_watch_door.h"
#include "front/etcd/fake_service.h"
#include "front/etcd/test_loop.h"
#include "front/etcd/watch_service.h"
#include "front/grpc/limits.h"
#include "front/grpc/test_client.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::front::etcd {

inline constexpr std::string_view kWatchPath = "/etcdserverpb.Watch/Watch";

class WatchRig {
 public:
  explicit WatchRig(const std::function<void(EtcdOptions&)>& adjust = {}) : service_(*loop_) {
    EtcdOptions options;
    options.version = "3.6.4";
    options.request_bytes_max = size_t{64} << 10U;
    if (adjust) adjust(options);
    service_.real_machine = &state_->machine();
    loop_->at_turn_end([this] {
      if (watch_ == nullptr) return;
      watch_->on_turn_end();
      watch_->check_invariants();
    });
    server_ = std::make_unique<grpc::Server>(*loop_, *loop_, grpc::ServerOptions{});
    api_ = std::make_unique<Api>(*loop_, *server_, service_, options);
    door_ = std::make_unique<ApiWatchDoor>(*api_);
    watch_ = std::make_unique<WatchService>(*door_, 1);
    server_->add_stream("etcdserverpb.Watch", "Watch", *watch_);
    ferries_ = std::make_unique<grpc::Ferries>(*server_, *loop_, loop_.client_loops());
    port_ = *server_->listen("127.0.0.1:0");
    loop_.start();
  }
  ~WatchRig() {
    loop_.stop();
    ferries_->close_calls();
    server_->close_all();
    watch_.reset();
    door_.reset();
    api_.reset();
    ferries_.reset();
    server_.reset();
  }
  WatchRig(const WatchRig&) = delete;
  WatchRig& operator=(const WatchRig&) = delete;

  // All of `task` is one turn of the loop, as what a node applies at once.
  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  void apply(const std::function<void(machine::etcd::MachineFixture&)>& task) {
    on_loop([&] {
      task(*state_);
      state_->commit();
    });
  }
  void put(std::string_view key, std::string_view value) {
    apply([&](auto& state) { state.put(key, value); });
  }
  // A snapshot takes the state's place.
  void replace_state(std::unique_ptr<machine::etcd::MachineFixture> state) {
    on_loop([&] {
      service_.real_machine = &state->machine();
      std::swap(state_, state);
    });
  }
  WatchCounts counts() {
    WatchCounts counts;
    on_loop([&] { counts = watch_->counts(); });
    return counts;
  }
  // Whether so many messages of clients reach the service within ten seconds.
  bool hears(uint64_t messages) {
    for (int round = 0; round < 1000; ++round) {
      uint64_t heard = 0;
      on_loop([&] { heard = server_->methods().back()->messages_received; });
      if (heard >= messages) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  FakeService& service() { return service_; }
  WatchService& watch() { return *watch_; }
  uint16_t port() const { return port_; }

 private:
  std::unique_ptr<machine::etcd::MachineFixture> state_ =
      std::make_unique<machine::etcd::MachineFixture>();
  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<ApiWatchDoor> door_;
  std::unique_ptr<WatchService> watch_;
  std::unique_ptr<grpc::Ferries> ferries_;
  uint16_t port_ = 0;
};

// One stream; responses in the order in which they came.
class WatchClient {
 public:
  explicit WatchClient(uint16_t port, grpc::Headers more = {}) : client_(port) {
    stream_ = client_.start(grpc::TestClient::grpc_headers(kWatchPath, std::move(more)), {}, false);
    client_.flush();
  }
  void send(const etcdserverpb::WatchRequest& request) {
    client_.send(stream_, grpc::TestClient::frame(request.SerializeAsString()));
    client_.flush();
  }
  void create(const etcdserverpb::WatchCreateRequest& create) {
    etcdserverpb::WatchRequest request;
    *request.mutable_create_request() = create;
    send(request);
  }
  void cancel(int64_t id) {
    etcdserverpb::WatchRequest request;
    request.mutable_cancel_request()->set_watch_id(id);
    send(request);
  }
  void ask_progress() {
    etcdserverpb::WatchRequest request;
    request.mutable_progress_request();
    send(request);
  }
  void half_close() {
    client_.send(stream_, {}, true);
    client_.flush();
  }
  // The next response; one with watch id -99 when there is none in time, or the stream has ended.
  etcdserverpb::WatchResponse next(std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    etcdserverpb::WatchResponse response;
    while (true) {
      const std::string_view rest = std::string_view(client_.answer(stream_).body).substr(read_);
      const grpc::MessageFrame frame = grpc::read_message_frame(rest);
      if (frame.complete) {
        EXPECT_TRUE(
            response.ParseFromArray(frame.message.data(), static_cast<int>(frame.message.size())));
        read_ += grpc::kMessagePrefixBytes + frame.size;
        return response;
      }
      if (client_.answer(stream_).ended || std::chrono::steady_clock::now() >= end) break;
      client_.pump(std::chrono::milliseconds(20));
    }
    response.set_watch_id(-99);
    return response;
  }
  bool silent(std::chrono::milliseconds span = std::chrono::milliseconds(150)) {
    return next(span).watch_id() == -99;
  }
  etcdserverpb::WatchResponse created(const etcdserverpb::WatchCreateRequest& request) {
    create(request);
    return next();
  }
  grpc::TestAnswer& wait_end() { return client_.wait(stream_); }
  grpc::TestClient& client() { return client_; }
  int32_t stream() const { return stream_; }

 private:
  grpc::TestClient client_;
  int32_t stream_ = 0;
  size_t read_ = 0;
};

inline etcdserverpb::WatchCreateRequest watch_of(const std::string& key,
                                                 const std::string& range_end = {},
                                                 int64_t start = 0) {
  etcdserverpb::WatchCreateRequest request;
  request.set_key(key);
  request.set_range_end(range_end);
  request.set_start_revision(start);
  return request;
}
inline const std::string& everything() {
  static const std::string text(1, '\0');
  return text;
}

// "PUT a=1@2": type, key, value, revision.
inline std::string text_of(const mvccpb::Event& event) {
  const bool put = event.type() == mvccpb::Event::PUT;
  std::string text = (put ? "PUT " : "DELETE ") + event.kv().key();
  if (put) text += "=" + event.kv().value();
  text += "@" + std::to_string(event.kv().mod_revision());
  if (event.has_prev_kv()) text += " before " + event.prev_kv().value();
  return text;
}
inline std::vector<std::string> texts_of(const etcdserverpb::WatchResponse& response) {
  std::vector<std::string> texts;
  for (const mvccpb::Event& event : response.events()) texts.push_back(text_of(event));
  return texts;
}

}  // namespace quorate::front::etcd
