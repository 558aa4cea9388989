// front/etcd/watch_door.h: what the Watch service needs of the world: calls to answer, and the
// node behind it.
//
// The server's door leads to the Api and its sockets (api_watch_door.h), the simulator's to
// simulated members and clients, so that the very service of production lives through the
// simulator's crashes and partitions. A call that was refused is closed later, never from within.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "front/etcd/errors.h"
#include "front/grpc/call.h"
#include "machine/etcd/commands.h"
#include "world/executor.h"

namespace quorate::front::etcd {

struct WatchOptions {
  Duration progress_interval{};
  Duration election_timeout{};
  size_t message_bytes_max = 0;  // events of a watcher that wants fragments are split above it
};

class WatchDoor {
 public:
  virtual ~WatchDoor() = default;
  virtual WatchOptions watch_options() const = 0;

  // ---- Calls.
  // What every call must satisfy; false: answered already.
  virtual bool admit(grpc::CallId call) = 0;
  virtual bool needs_leader(grpc::CallId call) const = 0;
  virtual void send(grpc::CallId call, std::string_view head, const Bytes& body) = 0;
  virtual void refuse(grpc::CallId call, ApiError error) = 0;
  virtual size_t unsent_bytes(grpc::CallId call) const = 0;
  virtual bool congested(grpc::CallId call) const = 0;
  virtual std::optional<ApiError> denied_range(grpc::CallId call, std::string_view key,
                                               std::string_view range_end) = 0;

  // ---- The node.
  virtual world::Executor& executor() = 0;
  virtual const machine::etcd::EtcdMachine* machine() const = 0;  // null: its state is lost
  virtual int64_t revision() const = 0;
  virtual bool has_leader() const = 0;
  virtual void write_header(int64_t revision, std::string& out) const = 0;
};

}  // namespace quorate::front::etcd
