// world/sim/sim_network.h: the network of a simulated cluster: links, connections, what goes wrong.
//
// As over TCP, two nodes that know each other and can reach each other both ways are connected;
// while they are, a lane's frames arrive in order and none is lost. A link that goes down breaks
// the connection: what is under way is lost at once, and each side learns of it a little later.
// A silent link loses packets without a word: what is sent waits to be sent again, both sides
// believe in the connection until the transport gives it up. With datagram_chaos nothing ever
// disconnects; instead frames are lost, doubled and reordered, and links work one way: replicas
// have to survive that too.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "world/network.h"
#include "world/sim/sim_executor.h"

namespace quorate::world {

struct LinkOptions {
  bool up = true;
  bool silent = false;
  DelayRange latency{std::chrono::microseconds(50), std::chrono::microseconds(500)};
  uint64_t bytes_per_second = 0;  // 0: no limit
  // Connected: a lost frame is sent again by the transport, so it is late by `resend`, and so is
  // what follows it in its lane. With datagram_chaos it is gone.
  uint32_t loss_per_million = 0;
  Duration resend = std::chrono::milliseconds(200);
  // Connected: the checksum finds a damaged frame, or a reset cuts it in the middle; either way
  // the connection ends there. With datagram_chaos the frame is gone.
  uint32_t corrupt_per_million = 0;
  uint32_t reset_per_million = 0;
  // With datagram_chaos only. A frame out of order is late by up to `reorder`.
  uint32_t duplicate_per_million = 0;
  uint32_t reorder_per_million = 0;
  Duration reorder = std::chrono::milliseconds(20);
};

struct NetworkOptions {
  bool datagram_chaos = false;
  DelayRange connect{std::chrono::milliseconds(1), std::chrono::milliseconds(50)};
  // From a connection's end to each side's on_disconnected.
  DelayRange detect{std::chrono::milliseconds(0), std::chrono::milliseconds(500)};
  // How long a connection lives whose packets are not acknowledged (world/real: 5 seconds).
  Duration give_up = std::chrono::seconds(5);
};

class SimFabric {
 public:
  SimFabric(SimExecutor::World& world, uint64_t seed);
  ~SimFabric();
  Network& add_node(NodeId node, SimExecutor& executor);
  // The process is gone: its peers lose their connections.
  void crash(NodeId node);
  const NetworkOptions& options() const { return options_; }
  void set_options(const NetworkOptions& options);
  LinkOptions link(NodeId from, NodeId to);
  void set_link(NodeId from, NodeId to, const LinkOptions& options);
  bool connected(NodeId left, NodeId right) const;
  // The connection ends here and now, if there is one; a new one is made in time.
  void reset(NodeId left, NodeId right);
  // Sees every frame that arrives.
  using Observer = std::function<void(NodeId from, NodeId to, const Bytes& frame)>;
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // Frames that suffer as in datagram chaos although connections stand: for those whose sender
  // promises to survive it, while the others rely on what a connection promises.
  using Judge = std::function<bool(const Bytes& frame)>;
  void set_loose(Judge judge) { loose_ = std::move(judge); }
  uint64_t frames_delivered() const { return frames_delivered_; }

 private:
  class NodePort;
  struct Parked {  // sent over a silent link
    Lane lane = Lane::normal;
    uint64_t connection = 0;
    Bytes frame;
  };
  struct Link {
    LinkOptions options;
    Rng rng;
    std::array<Time, 3> last_arrival;  // by lane
    Time busy_until;                   // urgent and normal frames
    Time bulk_busy_until;
    std::vector<Parked> parked;
    uint64_t parked_bytes = 0;
    uint64_t silences = 0;  // counts them
  };
  struct Pair {                          // of a smaller and a larger id
    uint64_t live = 0;                   // the number of the connection, 0 when there is none
    std::array<uint64_t, 2> believed{};  // by each side, until it learns better
    bool connecting = false;
  };
  using PairKey = std::pair<NodeId, NodeId>;
  static PairKey key(NodeId left, NodeId right);
  Link& link_of(NodeId from, NodeId to);
  bool reachable(const PairKey& pair);
  bool silent(const PairKey& pair);
  void begin_silence(const PairKey& route, Link& link);
  void end_silence(const PairKey& route, Link& link);
  void reconsider(const PairKey& key);
  void reconsider_all(NodeId node);
  void connect(const PairKey& key);
  void disconnect(const PairKey& key);
  void learn_of_end(const PairKey& key, size_t side, uint64_t connection);
  bool transmit(NodeId from, NodeId to, Lane lane, uint64_t connection, Bytes frame);
  void send_on(const PairKey& route, Link& link, Parked sent);
  void send_datagram(const PairKey& route, Link& link, Parked sent, Time leaves);
  Time departure(Link& link, Lane lane, size_t size) const;
  void schedule_arrival(const PairKey& route, Time when, uint64_t connection, Bytes frame);
  void schedule_break(const PairKey& route, Time when, uint64_t connection);

  SimExecutor::World& world_;
  uint64_t seed_;
  Rng rng_;
  NetworkOptions options_;
  std::map<NodeId, std::unique_ptr<NodePort>> ports_;
  std::map<PairKey, Link> links_;  // directed
  std::map<PairKey, Pair> pairs_;
  uint64_t next_connection_ = 1;
  uint64_t frames_delivered_ = 0;
  Observer observer_;
  Judge loose_;
};

}  // namespace quorate::world
