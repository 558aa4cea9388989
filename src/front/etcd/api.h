// front/etcd/api.h: what every service of the etcd API shares: the node, the reply header, the
// limits, and how the outcomes of the node become etcd's words.
//
// Answers of the node come later, perhaps when this object is gone: callbacks hold a Tether and
// a CallId, never a pointer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/histogram.h"
#include "front/etcd/errors.h"
#include "front/etcd/server.h"
#include "front/etcd/wire.h"
#include "front/grpc/server.h"
#include "machine/etcd/commands.h"
#include "node/service.h"

namespace quorate::front::etcd {

// From a tenth of a second, doubled: etcd's bounds for a defragmentation.
inline constexpr auto kDefragmentBounds = [] {
  std::array<Duration, 13> bounds{};
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] = std::chrono::milliseconds(100) * (1 << i);
  return bounds;
}();

// What the services count for /metrics.
struct ServiceCounts {
  uint64_t leases_renewed = 0;
  uint64_t health_successes = 0;
  uint64_t health_failures = 0;
  uint64_t defragmentations_under_way = 0;
  Histogram<kDefragmentBounds> defragmentations;
};

class Api;

// What a code of the machine's reply means to a client; nullopt: it went well.
std::optional<ApiError> error_of_reply(uint16_t code);

// Leads to the Api as long as it lives. One pointer wide, for one thread: with a CallId it fits
// into a callback without an allocation.
class Tether {
 public:
  explicit Tether(Api& api) : anchor_(new Anchor{&api, 1}) {}
  Tether(const Tether& other) noexcept : anchor_(other.anchor_) {
    if (anchor_ != nullptr) ++anchor_->references;
  }
  Tether(Tether&& other) noexcept : anchor_(std::exchange(other.anchor_, nullptr)) {}
  Tether& operator=(Tether other) noexcept {
    std::swap(anchor_, other.anchor_);
    return *this;
  }
  ~Tether() {
    if (anchor_ != nullptr && --anchor_->references == 0) delete anchor_;
  }
  Api* get() const { return anchor_ == nullptr ? nullptr : anchor_->api; }
  void cut() { anchor_->api = nullptr; }

 private:
  struct Anchor {
    Api* api;
    uint32_t references;
  };
  Anchor* anchor_;
};

class Api {
 public:
  Api(world::Executor& executor, grpc::Server& server, node::Service& service, EtcdOptions options);
  ~Api() { tether_.cut(); }
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // What every call must satisfy; false: answered already. A learner serves nearly nothing.
  enum class Learners : uint8_t { refused, served };
  bool admit(grpc::CallId call, Learners learners = Learners::refused);
  void refuse(grpc::CallId call, ApiError error) { server_.finish(call, status_of(error)); }

  // Into the log; the reply's body is the response without its header.
  void propose(grpc::CallId call, machine::etcd::CommandKind kind, std::string_view request);
  // From local state, at once or behind a read barrier.
  void read(grpc::CallId call, machine::etcd::QueryKind kind, bool local);
  void answer(grpc::CallId call, int64_t revision, const Bytes& body);

  Time deadline(grpc::CallId call) const;
  // What a client is told of an outcome; nullopt: the command was applied and did what it says.
  std::optional<ApiError> failure(grpc::CallId call, const node::Outcome& outcome) const;
  ApiError refusal(grpc::CallId call, node::RefusedWhy why) const;
  int64_t revision() const;
  // Null for machines which are not the etcd one (tests).
  const machine::etcd::EtcdMachine* machine() const;

  const EtcdOptions& options() const { return options_; }
  const HeaderWriter& header() const { return header_; }
  grpc::Server& server() { return server_; }
  ServiceCounts& counts() { return counts_; }
  node::Service& service() { return service_; }
  world::Executor& executor() { return executor_; }
  const Tether& tether() const { return tether_; }
  std::string version_minor() const;  // "X.Y.0" of the version X.Y.Z

 private:
  void finish_proposal(grpc::CallId call, node::Outcome outcome);
  void finish_barrier(grpc::CallId call, machine::etcd::QueryKind kind,
                      std::optional<node::RefusedWhy> why);
  void run_query(grpc::CallId call, machine::etcd::QueryKind kind);
  void answer_reply(grpc::CallId call, const machine::Reply& reply);
  ApiError timed_out(grpc::CallId call) const;

  world::Executor& executor_;
  grpc::Server& server_;
  node::Service& service_;
  EtcdOptions options_;
  HeaderWriter header_;
  Tether tether_;
  ServiceCounts counts_;
  std::string scratch_;  // response heads are built here, then copied out
};

}  // namespace quorate::front::etcd
