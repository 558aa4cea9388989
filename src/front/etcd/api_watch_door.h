// front/etcd/api_watch_door.h: the Watch service's way to the server and its node.
#pragma once

#include "front/etcd/api.h"
#include "front/etcd/watch_door.h"

namespace quorate::front::etcd {

class ApiWatchDoor final : public WatchDoor {
 public:
  explicit ApiWatchDoor(Api& api) : api_(api) {}

  WatchOptions watch_options() const override;
  bool admit(grpc::CallId call) override { return api_.admit(call); }
  bool needs_leader(grpc::CallId call) const override {
    return api_.server().find(call)->metadata.needs_leader;
  }
  void send(grpc::CallId call, std::string_view head, const Bytes& body) override {
    api_.server().send(call, head, body);
  }
  void refuse(grpc::CallId call, ApiError error) override { api_.refuse(call, error); }
  size_t unsent_bytes(grpc::CallId call) const override { return api_.server().unsent_bytes(call); }
  bool congested(grpc::CallId call) const override { return api_.server().congested(call); }
  std::optional<ApiError> denied_range(grpc::CallId call, std::string_view key,
                                       std::string_view range_end) override {
    return api_.denied_range(call, key, range_end, machine::etcd::Access::read);
  }
  world::Executor& executor() override { return api_.executor(); }
  const machine::etcd::EtcdMachine* machine() const override { return api_.machine(); }
  int64_t revision() const override { return api_.revision(); }
  bool has_leader() const override { return static_cast<bool>(api_.service().leader()); }
  void write_header(int64_t revision, std::string& out) const override {
    api_.header().write(revision, api_.service().round(), out);
  }

 private:
  Api& api_;
};

}  // namespace quorate::front::etcd
