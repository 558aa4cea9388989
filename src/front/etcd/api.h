// front/etcd/api.h: what every service of the etcd API shares: the node, the reply header, the
// limits, and how the outcomes of the node become etcd's words.
//
// Answers of the node come later, perhaps when this object is gone: callbacks hold a Tether and
// a CallId, never a pointer.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>

#include "base/histogram.h"
#include "base/ring.h"
#include "front/etcd/callers.h"
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
  // What a call needs that is about no key; while auth is on.
  enum class Rights : uint8_t { user, root };

  Api(world::Executor& executor, grpc::Server& server, node::Service& service, EtcdOptions options);
  ~Api() { tether_.cut(); }
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // What every call must satisfy; false: answered already. A learner serves nearly nothing.
  enum class Learners : uint8_t { refused, served };
  bool admit(grpc::CallId call, Learners learners = Learners::refused);
  void refuse(grpc::CallId call, ApiError error) { server_.finish(call, status_of(error)); }

  // The auth store while auth is on; null: nobody is asked who they are.
  const machine::etcd::AuthBook* auth() const;
  std::expected<machine::etcd::Caller, ApiError> identify(grpc::CallId call);
  // Whether the caller may; false: answered already.
  bool permit(grpc::CallId call, Rights rights);
  // The same about a range of keys, and about those on a lease, as an answer.
  std::optional<ApiError> denied_range(grpc::CallId call, std::string_view key,
                                       std::string_view range_end, machine::etcd::Access access);
  std::optional<ApiError> denied_lease(grpc::CallId call, int64_t lease,
                                       machine::etcd::Access access);
  // A command in the name of the caller, and one in that of this server.
  std::expected<Bytes, ApiError> command_of(grpc::CallId call, machine::etcd::CommandKind kind,
                                            std::string_view request);
  Bytes own_command(machine::etcd::CommandKind kind, std::string_view request) const;
  // A call with a token that this member will only hear of waits for that.
  bool holds(grpc::CallId call);
  void on_turn_end();

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
  void expect_ranges();
  // A confirmed read whose client has not taken its last answers yet. What it reads when there is
  // room is newer than what was confirmed, never older.
  struct QueryWaiter final : grpc::RoomWaiter {
    QueryWaiter(Api& the_api, machine::etcd::QueryKind the_kind) : api(the_api), kind(the_kind) {}
    void on_room(grpc::CallId call) override { api.run_query(call, kind); }
    Api& api;
    machine::etcd::QueryKind kind;
  };
  void answer_reply(grpc::CallId call, const machine::Reply& reply);
  ApiError timed_out(grpc::CallId call) const;
  std::optional<ApiError> denied_query(grpc::CallId call, machine::etcd::QueryKind kind);

  world::Executor& executor_;
  grpc::Server& server_;
  node::Service& service_;
  EtcdOptions options_;
  HeaderWriter header_;
  Tether tether_;
  QueryWaiter range_waiter_{*this, machine::etcd::QueryKind::range};
  QueryWaiter txn_waiter_{*this, machine::etcd::QueryKind::txn};
  ServiceCounts counts_;
  Callers callers_;
  bool auth_was_on_ = false;
  // Ranges that wait for a barrier, about in the order in which they will be answered. Each of
  // them is in the node's hands too, which bounds them (node::kReadsWaitingMax).
  Ring<grpc::CallId> ranges_;
  size_t ranges_expected_ = 0;                          // of these, the first
  mutable const std::type_info* known_type_ = nullptr;  // of an etcd machine
  std::string scratch_;  // response heads are built here, then copied out
};

}  // namespace quorate::front::etcd
