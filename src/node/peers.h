// node/peers.h: the members of the cluster as seen through the network: frames in, frames out.
//
// Decodes what comes, drops and counts what is malformed, and hands the rest on by kind.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/outbound.h"
#include "node/service.h"
#include "node/wire.h"
#include "world/executor.h"
#include "world/network.h"

namespace quorate::node {

class Peers : public Outbound, private world::Network::Receiver {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_peer_connected(NodeId peer) = 0;
    virtual void on_peer_disconnected(NodeId peer) = 0;
    // False: a frame of this kind or content may not come from that peer.
    virtual bool on_peer_frame(NodeId peer, Frame& frame) = 0;
  };

  Peers(world::Executor& executor, world::Network& network, Listener& listener)
      : executor_(executor), network_(network), listener_(listener) {}
  void start() { network_.start(*this); }
  void stop() { stopped_ = true; }

  // Whom to keep a connection with, and where; replaces what was wanted before.
  void follow(const std::map<NodeId, std::vector<std::string>>& wanted);
  bool send(NodeId to, world::Lane lane, Bytes frame) override;
  // Since when, without a break.
  const std::map<NodeId, Time>& connected() const { return connected_; }
  // Of those whom to be connected with is wanted.
  const std::map<NodeId, PeerTraffic>& traffic() const { return traffic_; }
  uint64_t frames_refused() const { return frames_refused_; }  // malformed, or not theirs to send

 private:
  void on_connected(NodeId peer) override;
  void on_disconnected(NodeId peer) override;
  void on_frame(NodeId peer, Bytes frame) override;
  // Snapshots are paced by what their receiver has written, which covers the way there.
  void on_bulk_sent(NodeId peer) override { static_cast<void>(peer); }

  world::Executor& executor_;
  world::Network& network_;
  Listener& listener_;
  std::map<NodeId, std::vector<std::string>> wanted_;
  std::map<NodeId, Time> connected_;
  std::map<NodeId, PeerTraffic> traffic_;
  uint64_t frames_refused_ = 0;
  bool stopped_ = false;
};

}  // namespace quorate::node
