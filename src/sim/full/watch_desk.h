// sim/full/watch_desk.h: the Watch service of one member for as long as its process lives, with
// streams that lead to simulated clients instead of sockets.
//
// What the service sends travels, message by message and in order; what has not arrived counts
// as unsent, so a client that takes its time is a slow one to the service, too.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>

#include "front/etcd/watch_service.h"
#include "sim/full/cluster.h"

namespace quorate::sim::full {

class WatchDesk final : private front::etcd::WatchDoor {
 public:
  // The client's end of a stream. Called by the world, not from within the service.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_watch_response(uint64_t stream, const std::string& response) = 0;
    virtual void on_watch_end(uint64_t stream) = 0;
    // How long the next message is on its way.
    virtual Duration next_delay(uint64_t stream) = 0;
  };

  WatchDesk(Cluster& cluster, uint64_t member, Listener& listener);
  ~WatchDesk() override;
  WatchDesk(const WatchDesk&) = delete;
  WatchDesk& operator=(const WatchDesk&) = delete;

  // ---- In the member's turn.
  void open(uint64_t stream, bool needs_leader);
  void hear(uint64_t stream, const std::string& request);
  void close(uint64_t stream);
  bool has(uint64_t stream) const { return streams_.contains(stream); }

 private:
  struct Stream {
    std::deque<std::string> on_their_way;
    size_t bytes = 0;
    bool needs_leader = false;
    bool refused = false;
  };
  static front::grpc::CallId call_of(uint64_t stream);
  static uint64_t stream_of(front::grpc::CallId call);
  template <class Action>
  void later(Duration pause, uint64_t stream, Action action);
  void arrive(uint64_t stream);

  front::etcd::WatchOptions watch_options() const override;
  bool admit(front::grpc::CallId) override { return true; }
  bool needs_leader(front::grpc::CallId call) const override;
  void send(front::grpc::CallId call, std::string_view head, const Bytes& body) override;
  void refuse(front::grpc::CallId call, front::etcd::ApiError error) override;
  size_t unsent_bytes(front::grpc::CallId call) const override;
  bool congested(front::grpc::CallId) const override { return false; }
  std::optional<front::etcd::ApiError> denied_range(front::grpc::CallId, std::string_view,
                                                    std::string_view) override {
    return std::nullopt;
  }
  world::Executor& executor() override { return cluster_.executor(member_); }
  const machine::etcd::EtcdMachine* machine() const override;
  int64_t revision() const override;
  bool has_leader() const override;
  void write_header(int64_t revision, std::string& out) const override;

  Cluster& cluster_;
  const uint64_t member_;
  Listener& listener_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  std::map<uint64_t, Stream> streams_;
  front::etcd::WatchService service_;
};

}  // namespace quorate::sim::full
