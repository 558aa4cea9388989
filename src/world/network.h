// world/network.h: frames between the members of one cluster.
//
// One connection for each pair of nodes, whatever the number of groups. While a connection
// lasts, frames of one lane arrive whole, unchanged and in order; when it breaks, those under
// way may be lost. A damaged frame breaks the connection, it is never delivered. The handshake
// refuses a peer of another cluster, one that is not the member expected, and one that speaks
// another version of the wire format.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace quorate::world {

// `urgent` frames (heartbeats, votes, acks) overtake `bulk` ones (snapshot chunks); `normal`
// carries entries. Order is kept within a lane only.
enum class Lane : uint8_t { urgent, normal, bulk };

class Network {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    virtual void on_connected(NodeId peer) = 0;
    virtual void on_disconnected(NodeId peer) = 0;
    virtual void on_frame(NodeId peer, Bytes frame) = 0;
    // A bulk frame left for the peer: room for more. Never called for other lanes.
    virtual void on_bulk_sent(NodeId peer) = 0;
  };
  virtual ~Network() = default;
  virtual void start(Receiver& receiver) = 0;
  // host:port pairs to reach a peer at, tried in turn; replaces what was known.
  virtual void set_peer(NodeId peer, std::vector<std::string> addresses) = 0;
  virtual void forget_peer(NodeId peer) = 0;
  // Never blocks. False: not connected, or the peer's queue is at its limit; the frame is
  // dropped. Frames of one turn leave together at its end.
  virtual bool send(NodeId peer, Lane lane, Bytes frame) = 0;
  virtual bool connected(NodeId peer) const = 0;

  // What this node tells whoever asks without being a member; replaces what it told before. At
  // most kIntroductionBytesMax of real/wire.h. A network without strangers does nothing.
  virtual void set_introduction(Bytes introduction) {
    [[maybe_unused]] const Bytes dropped = std::move(introduction);
  }
  // Asks whoever listens at host:port for its introduction. `done` is called once, perhaps from
  // within, unless the network is destroyed first; what it gets is hostile until decoded.
  virtual void inquire(const std::string& address, std::function<void(Result<Bytes>)> done) {
    const auto answer = std::move(done);
    answer(fail(ErrorKind::unavailable, address + " cannot be asked through this network"));
  }
};

}  // namespace quorate::world
