#include "node/peers.h"

#include <utility>

#include "base/log.h"

namespace quorate::node {

void Peers::follow(const std::map<NodeId, std::vector<std::string>>& wanted) {
  if (stopped_ || wanted == wanted_) return;
  const auto before = std::exchange(wanted_, wanted);
  for (const auto& [id, addresses] : before) {
    if (wanted_.contains(id)) continue;
    network_.forget_peer(id);
    traffic_.erase(id);
    if (connected_.erase(id) > 0) listener_.on_peer_disconnected(id);
  }
  for (const auto& [id, addresses] : wanted_) {
    const auto known = before.find(id);
    if (known == before.end() || known->second != addresses) network_.set_peer(id, addresses);
  }
}

bool Peers::send(NodeId to, world::Lane lane, Bytes frame) {
  if (stopped_) return false;
  const size_t bytes = frame.size();
  if (!network_.send(to, lane, std::move(frame))) {
    if (wanted_.contains(to)) ++traffic_[to].frames_unsent;
    return false;
  }
  if (wanted_.contains(to)) traffic_[to].bytes_sent += bytes;
  return true;
}

void Peers::on_connected(NodeId peer) {
  connected_[peer] = executor_.now();
  if (!stopped_) listener_.on_peer_connected(peer);
}

void Peers::on_disconnected(NodeId peer) {
  connected_.erase(peer);
  if (!stopped_) listener_.on_peer_disconnected(peer);
}

void Peers::on_frame(NodeId peer, Bytes bytes) {
  if (stopped_) return;
  if (wanted_.contains(peer)) traffic_[peer].bytes_received += bytes.size();
  std::optional<Frame> frame = decode_frame(bytes);
  if (frame && listener_.on_peer_frame(peer, *frame)) return;
  // Said at powers of two only: a peer that is broken must not fill the disk with it.
  ++frames_refused_;
  if ((frames_refused_ & (frames_refused_ - 1)) == 0) {
    log(LogLevel::warn, "dropped a frame from member " + std::to_string(peer.value) +
                            " that is malformed or not its to send (" +
                            std::to_string(frames_refused_) + " so far)");
  }
}

}  // namespace quorate::node
