#include "front/etcd/server.h"

#include <optional>

#include "front/etcd/alarm_service.h"
#include "front/etcd/api.h"
#include "front/etcd/api_watch_door.h"
#include "front/etcd/auth_service.h"
#include "front/etcd/auto_compaction.h"
#include "front/etcd/cluster_service.h"
#include "front/etcd/defragment_service.h"
#include "front/etcd/election_service.h"
#include "front/etcd/hash_service.h"
#include "front/etcd/health_service.h"
#include "front/etcd/json_gateway.h"
#include "front/etcd/kv_service.h"
#include "front/etcd/lease_service.h"
#include "front/etcd/lock_service.h"
#include "front/etcd/maintenance_service.h"
#include "front/etcd/pages.h"
#include "front/etcd/quota.h"
#include "front/etcd/range_stream_service.h"
#include "front/etcd/register_service.h"
#include "front/etcd/snapshot_service.h"
#include "front/etcd/waiting_line.h"
#include "front/etcd/watch_service.h"
#include "front/grpc/server.h"

namespace quorate::front::etcd {
namespace {

// A hook at the end of a turn that can be taken back. As a member before the gRPC server it runs
// before the server's own, so that what it sends leaves in the same turn.
class TurnEnd {
 public:
  explicit TurnEnd(world::Executor& executor)
      : action_(std::make_shared<std::function<void()>>([] {})) {
    executor.at_turn_end([action = action_] { (*action)(); });
  }
  ~TurnEnd() {
    set([] {});
  }
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;
  void set(std::function<void()> action) { *action_ = std::move(action); }

 private:
  std::shared_ptr<std::function<void()>> action_;
};

class TokenGate final : public grpc::Gate {
 public:
  void lead_to(Api& api) { api_ = &api; }
  bool holds(grpc::CallId call) override { return api_ != nullptr && api_->holds(call); }

 private:
  Api* api_ = nullptr;
};

class Server final : public EtcdServer {
 public:
  Server(world::Executor& executor, world::Poller& poller, node::Service& service,
         EtcdOptions options)
      : turn_end_(executor),
        server_(executor, poller, server_options(options)),
        client_loops_(options.client_loops),
        api_(executor, server_, service, std::move(options)),
        compaction_(api_),
        quota_(api_),
        kv_(api_, quota_),
        range_stream_(api_),
        lease_(api_, quota_),
        auth_(api_),
        cluster_(api_),
        maintenance_(api_),
        hash_(api_),
        alarm_(api_),
        defragment_(api_),
        snapshot_(api_),
        health_(api_),
        watch_door_(api_),
        watch_(watch_door_, service.status().self.value),
        line_(api_, lease_),
        lock_(api_, line_),
        election_(api_, line_),
        registers_(api_),
        pages_(api_, watch_) {
    server_.add_stream("etcdserverpb.Watch", "Watch", watch_);
    gate_.lead_to(api_);
    turn_end_.set([this] {
      api_.on_turn_end();
      watch_.on_turn_end();
      line_.on_turn_end();
      election_.on_turn_end();
    });
    ferries_.emplace(server_, executor, client_loops_);
    executor.post([this, tether = api_.tether()] {
      if (tether.get() != nullptr) cluster_.publish();
    });
  }

  ~Server() override {
    turn_end_.set([] {});
    line_.stop();
    ferries_->close_calls();
    server_.close_all();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Result<uint16_t> listen(const std::string& address, world::Security* security, bool plain_too,
                          grpc::Offer offer) override {
    return server_.listen(address, {security, plain_too, offer});
  }
  void drain() override {
    health_.on_draining();
    watch_.on_draining();
    snapshot_.on_draining();
    range_stream_.on_draining();
    line_.on_draining();
    election_.on_draining();
    server_.drain();
    ferries_->drain();
  }
  void let_go() override { ferries_->let_go(); }

 private:
  grpc::ServerOptions server_options(const EtcdOptions& options) {
    return {.message_bytes_max = options.request_bytes_max + kMessageOverheadBytes,
            .pages = [this](grpc::CallId call,
                            const grpc::PageRequest& request) { pages_.on_request(call, request); },
            .gateway = &gateway_,
            .access = {options.cors, options.host_whitelist},
            .gate = &gate_};
  }

  TurnEnd turn_end_;
  JsonGateway gateway_;
  TokenGate gate_;
  grpc::Server server_;
  std::vector<grpc::ClientLoop> client_loops_;
  Api api_;
  AutoCompaction compaction_;
  Quota quota_;
  KvService kv_;
  RangeStreamService range_stream_;
  LeaseService lease_;
  AuthService auth_;
  ClusterService cluster_;
  MaintenanceService maintenance_;
  HashService hash_;
  AlarmService alarm_;
  DefragmentService defragment_;
  SnapshotService snapshot_;
  HealthService health_;
  ApiWatchDoor watch_door_;
  WatchService watch_;
  WaitingLine line_;
  LockService lock_;
  ElectionService election_;
  RegisterService registers_;
  Pages pages_;
  std::optional<grpc::Ferries> ferries_;  // made last, when all methods are known
};

}  // namespace

std::unique_ptr<EtcdServer> make_etcd_server(world::Executor& executor, world::Poller& poller,
                                             node::Service& service, EtcdOptions options) {
  return std::make_unique<Server>(executor, poller, service, std::move(options));
}

}  // namespace quorate::front::etcd
