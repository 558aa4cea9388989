#include "front/etcd/server.h"

#include "front/etcd/api.h"
#include "front/etcd/cluster_service.h"
#include "front/etcd/health_service.h"
#include "front/etcd/kv_service.h"
#include "front/etcd/maintenance_service.h"
#include "front/etcd/pages.h"
#include "front/grpc/server.h"

namespace quorate::front::etcd {
namespace {

// etcd lets a message exceed the request limit by this much for what gRPC wraps around it.
constexpr size_t kMessageOverheadBytes = size_t{512} << 10U;

class Server final : public EtcdServer {
 public:
  Server(world::Executor& executor, world::Poller& poller, node::Service& service,
         EtcdOptions options)
      : server_(executor, poller,
                {.message_bytes_max = options.request_bytes_max + kMessageOverheadBytes,
                 .pages =
                     [this](grpc::CallId call, const grpc::PageRequest& request) {
                       pages_.on_request(call, request);
                     }}),
        api_(executor, server_, service, std::move(options)),
        kv_(api_),
        cluster_(api_),
        maintenance_(api_),
        health_(api_),
        pages_(api_) {
    executor.post([this, tether = api_.tether()] {
      if (tether.get() != nullptr) cluster_.publish();
    });
  }

  ~Server() override { server_.close_all(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Result<uint16_t> listen(const std::string& address) override { return server_.listen(address); }
  void drain() override {
    health_.on_draining();
    server_.drain();
  }

 private:
  grpc::Server server_;
  Api api_;
  KvService kv_;
  ClusterService cluster_;
  MaintenanceService maintenance_;
  HealthService health_;
  Pages pages_;
};

}  // namespace

std::unique_ptr<EtcdServer> make_etcd_server(world::Executor& executor, world::Poller& poller,
                                             node::Service& service, EtcdOptions options) {
  return std::make_unique<Server>(executor, poller, service, std::move(options));
}

}  // namespace quorate::front::etcd
