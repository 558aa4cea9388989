// front/etcd/server.h: the etcd v3 API on a port: gRPC over HTTP/2 and plain HTTP/1.1 together.
//
// Bytes in, commands out: requests are checked against the limits and rules of the API, handed
// to the node, and answered with its outcome in etcd's exact codes and words. Runs on the
// node's thread; all sockets are non-blocking.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "front/etcd/compaction_plan.h"
#include "front/grpc/ferry.h"
#include "front/grpc/offer.h"
#include "node/service.h"
#include "world/executor.h"
#include "world/poller.h"
#include "world/secure.h"

namespace quorate::front::etcd {

// etcd lets a message exceed the request limit by this much for what gRPC wraps around it.
inline constexpr size_t kMessageOverheadBytes = size_t{512} << 10U;

class TokenSigner;
struct AuthOptions {
  Duration token_life = std::chrono::minutes(5);  // from its last use
  uint32_t bcrypt_cost = 10;
  std::shared_ptr<TokenSigner> signer;  // null: tokens are random letters that members remember
};

struct EtcdOptions {
  std::string name;
  std::vector<std::string> advertise_client_urls;
  std::string version;                                 // as reported: plain digits X.Y.Z
  Duration request_timeout = std::chrono::seconds(7);  // 5 s + 2 x election timeout
  size_t request_bytes_max = 1572864;                  // 1.5 MiB
  size_t txn_operations_max = 128;
  uint64_t quota_backend_bytes = uint64_t{2} << 30U;
  CompactionRule compaction;
  // Watchers that asked for it hear this often how far they are, when nothing else is sent.
  Duration watch_progress_interval = std::chrono::minutes(10);
  Duration election_timeout = std::chrono::seconds(1);
  int64_t lease_seconds_min = 2;  // 1.5 election timeouts, rounded up: less could not be renewed
  // Plain HTTP: the origins whose pages may read answers, and the names that are answered to;
  // empty, or with "*": all.
  std::vector<std::string> cors;
  std::vector<std::string> host_whitelist;
  // Changes of membership that would endanger the majority are refused.
  bool strict_reconfig_check = true;
  AuthOptions auth;
  // Threads for the connections of clients; none: they are served where the calls run.
  std::vector<grpc::ClientLoop> client_loops;
  // The id of a member that is added now, at this many nanoseconds since 1970: one that is removed
  // and added again at once is another.
  std::function<uint64_t(std::vector<std::string> peer_urls, int64_t nanoseconds)> new_member_id;
};

class EtcdServer {
 public:
  virtual ~EtcdServer() = default;
  // host:port; port 0 picks one. May be called several times. Returns the port in use. With
  // `security`, which outlives this, it speaks TLS; `plain_too`: plain with those who begin so.
  virtual Result<uint16_t> listen(const std::string& address, world::Security* security = nullptr,
                                  bool plain_too = false, grpc::Offer offer = grpc::Offer::all) = 0;
  // GOAWAY to all, refuse new connections; calls under way may finish.
  virtual void drain() = 0;
  // After the last turn of the executor, before the client loops are told to end.
  virtual void let_go() = 0;
};

std::unique_ptr<EtcdServer> make_etcd_server(world::Executor& executor, world::Poller& poller,
                                             node::Service& service, EtcdOptions options);

}  // namespace quorate::front::etcd
