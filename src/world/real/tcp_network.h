// world/real/tcp_network.h: Network over TCP: one connection for each pair of members.
//
// The member with the smaller id dials, with back-off; the other accepts. Both sides send a
// handshake (wire format version, cluster id, own id, expected id of the other) guarded by
// crc32c; whatever does not fit is refused and logged with the reason. Frames are length, lane,
// crc32c, payload (docs/formats/wire.md). Urgent frames overtake bulk ones: bulk is handed to
// the kernel only while the socket holds little unsent data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "world/network.h"
#include "world/real/event_loop.h"
#include "world/secure.h"

namespace quorate::world {

struct TcpOptions {
  NodeId self;
  uint64_t cluster_id = 0;
  std::vector<std::string> listen;  // host:port, or https://host:port for TLS
  Security* security = nullptr;     // outlives the network; null: no address may be https://
};
struct NetworkMetrics {
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t frames_dropped = 0;
  uint64_t frames_damaged = 0;
};

class TcpNetwork : public Network {
 public:
  virtual NetworkMetrics metrics() const = 0;
};

// An error names the address and why it could not be listened on.
Result<std::unique_ptr<TcpNetwork>> make_tcp_network(EventLoop& loop, const TcpOptions& options);

}  // namespace quorate::world
