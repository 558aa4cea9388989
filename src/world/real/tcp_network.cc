#include "world/real/tcp_network.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "world/real/address.h"
#include "world/real/connection.h"
#include "world/real/dialer.h"
#include "world/real/inquirer.h"
#include "world/real/limited_log.h"
#include "world/real/listener.h"

namespace quorate::world {
namespace {

// Accepted connections that have not said who they are. Each may hold a receive block; members
// say hello within a round trip, so only strangers fill this.
constexpr size_t kPendingConnectionsMax = 64;

// As tools and people write it.
std::string number(NodeId node) {
  std::array<char, 17> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), node.value, 16);
  return {text.data(), end.ptr};
}

struct Listening {
  int descriptor = -1;
  bool secure = false;
};

class FramedTcp final : public TcpNetwork, public Connection::Owner {
 public:
  FramedTcp(EventLoop& loop, const TcpOptions& options, const std::vector<Listening>& listening);
  FramedTcp(const FramedTcp&) = delete;
  FramedTcp& operator=(const FramedTcp&) = delete;
  ~FramedTcp() override = default;

  void start(Receiver& receiver) override;
  void set_peer(NodeId peer, std::vector<std::string> addresses) override;
  void forget_peer(NodeId peer) override;
  bool send(NodeId peer, Lane lane, Bytes frame) override;
  bool connected(NodeId peer) const override;
  void set_introduction(Bytes introduction) override { introduction_ = std::move(introduction); }
  void inquire(const std::string& address, std::function<void(Result<Bytes>)> done) override {
    inquirer_.ask(address, std::move(done));
  }
  NetworkMetrics metrics() const override { return metrics_; }

 private:
  struct Peer {
    std::unique_ptr<Dialer> dialer;  // none for those that dial us
    std::shared_ptr<Connection> connection;
  };
  void on_hello(Connection& connection, const Hello& hello) override;
  void on_question(Connection& connection) override { connection.introduce(introduction_); }
  void on_frame(Connection& connection, Bytes frame) override;
  void on_bulk_left(Connection& connection, size_t frames) override;
  void on_closed(Connection& connection, const std::string& reason) override;

  void accepted(int descriptor, const SocketAddress& from, bool secure);
  void dial(NodeId peer, const SocketAddress& address, const std::string& name);
  void answer_to_dial(Connection& connection, const Hello& hello);
  void judge_caller(Connection& connection, const Hello& hello);
  Verdict verdict_on(const Hello& hello) const;
  Verdict verdict_on_caller(const Hello& hello) const;
  void replace(NodeId peer, std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> take_pending(const Connection& connection);
  void mark(Connection& connection);
  void flush_marked();
  void tell_bulk_sent();
  void say(LogLevel level, LogTopic topic, const std::string& text) {
    log_.say(loop_.now(), level, topic, text);
  }
  template <class Call>
  auto while_alive(Call call) {
    return [alive = std::weak_ptr<char>(alive_), call = std::move(call)] {
      if (alive.lock() != nullptr) call();
    };
  }

  EventLoop& loop_;
  const NodeId self_;
  const uint64_t cluster_id_;
  Security* const security_;
  Rng rng_;
  LimitedLog log_;
  NetworkMetrics metrics_;
  Receiver* receiver_ = nullptr;
  Bytes introduction_;
  Inquirer inquirer_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<NodeId, Peer> peers_;
  std::vector<std::shared_ptr<Connection>> pending_;
  std::vector<std::shared_ptr<Connection>> marked_;
  std::vector<std::shared_ptr<Connection>> flushing_;
  std::vector<std::pair<std::shared_ptr<Connection>, size_t>> bulk_left_;
  uint64_t flushed_in_turn_ = 0;
  // Tasks of ours that the loop still holds find this gone when we are.
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

FramedTcp::FramedTcp(EventLoop& loop, const TcpOptions& options,
                     const std::vector<Listening>& listening)
    : loop_(loop),
      self_(options.self),
      cluster_id_(options.cluster_id),
      security_(options.security),
      // Only the spread of the back-off depends on it.
      rng_(options.self.value ^ static_cast<uint64_t>(loop.now().time_since_epoch().count())),
      inquirer_(loop, options.security) {
  for (const auto& [descriptor, secure] : listening) {
    listeners_.push_back(std::make_unique<Listener>(
        loop_, descriptor,
        [this, by_tls = secure](int accepted_descriptor, const SocketAddress& from) {
          accepted(accepted_descriptor, from, by_tls);
        },
        [this](const std::string& text) { say(LogLevel::warn, LogTopic::limit, text); }));
  }
}

void FramedTcp::start(Receiver& receiver) {
  CHECK(receiver_ == nullptr, "a network starts once");
  receiver_ = &receiver;
  // Registered now and not earlier: the receiver's own hook, which is where most frames are made,
  // stands before ours then, and they leave in the same turn.
  loop_.at_turn_end(while_alive([this] {
    flushed_in_turn_ = loop_.turns();
    flush_marked();
  }));
  for (auto& listener : listeners_) listener->start();
  for (auto& [id, peer] : peers_) {
    if (peer.dialer != nullptr) peer.dialer->start();
  }
}

void FramedTcp::set_peer(NodeId id, std::vector<std::string> addresses) {
  CHECK(id.value != 0 && id != self_, "a peer is another member");
  Peer& peer = peers_[id];
  if (self_ > id) return;  // it dials us
  if (peer.dialer == nullptr) {
    peer.dialer = std::make_unique<Dialer>(
        loop_, rng_.split(),
        [this, id](const SocketAddress& address, const std::string& name) {
          dial(id, address, name);
        },
        [this, id](const std::string& text) {
          say(LogLevel::warn, LogTopic::address, "cannot dial member " + number(id) + ": " + text);
        });
  }
  peer.dialer->set_addresses(std::move(addresses));
  if (receiver_ != nullptr) peer.dialer->start();
}

void FramedTcp::forget_peer(NodeId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  if (found->second.connection != nullptr) found->second.connection->close();
  if (found->second.dialer != nullptr) found->second.dialer->stop();
  // Destroyed last and not from within its own callback.
  loop_.post([peer = std::make_shared<Peer>(std::move(found->second))] {});
  peers_.erase(found);
}

bool FramedTcp::connected(NodeId id) const {
  const auto found = peers_.find(id);
  return found != peers_.end() && found->second.connection != nullptr &&
         found->second.connection->established();
}

bool FramedTcp::send(NodeId id, Lane lane, Bytes frame) {
  const auto found = peers_.find(id);
  if (found == peers_.end() || found->second.connection == nullptr ||
      !found->second.connection->send(lane, frame)) {
    ++metrics_.frames_dropped;
    return false;
  }
  mark(*found->second.connection);
  return true;
}

void FramedTcp::mark(Connection& connection) {
  if (connection.marked) return;
  connection.marked = true;
  // Sent by a turn-end hook that runs after ours: without this it would wait for an event.
  if (marked_.empty() && flushed_in_turn_ == loop_.turns()) {
    loop_.post(while_alive([this] { flush_marked(); }));
  }
  marked_.push_back(connection.shared_from_this());
}

void FramedTcp::flush_marked() {
  if (marked_.empty()) return;
  std::swap(flushing_, marked_);
  for (const auto& connection : flushing_) {
    connection->marked = false;
    connection->flush();
  }
  flushing_.clear();
}

void FramedTcp::dial(NodeId id, const SocketAddress& address, const std::string& name) {
  Peer& peer = peers_.at(id);
  std::unique_ptr<SecureChannel> channel;
  if (is_secure(name)) {
    if (security_ == nullptr) {
      say(LogLevel::warn, LogTopic::refused_peer,
          "cannot dial member " + number(id) + " at " + name +
              ": it has to be reached by TLS; restart this member with --peer-trusted-ca-file");
      return peer.dialer->failed();
    }
    channel = security_->dial(parse_host_port(name)->host);
  }
  peer.connection = std::make_shared<Connection>(loop_, *this, metrics_);
  const std::shared_ptr<Connection> connection = peer.connection;
  connection->dial(address, id, {.cluster_id = cluster_id_, .self = self_, .expected = id},
                   std::move(channel));
}

void FramedTcp::accepted(int descriptor, const SocketAddress& from, bool secure) {
  auto connection = std::make_shared<Connection>(loop_, *this, metrics_);
  pending_.push_back(connection);
  connection->accept(descriptor, from, secure ? security_->accept() : nullptr);
  if (pending_.size() <= kPendingConnectionsMax) return;
  connection->close();
  take_pending(*connection);
  say(LogLevel::warn, LogTopic::limit,
      "refused a connection from " + from.text() + ": " + std::to_string(kPendingConnectionsMax) +
          " others have not said yet who they are; look for what floods the peer port");
}

std::shared_ptr<Connection> FramedTcp::take_pending(const Connection& connection) {
  const auto found = std::ranges::find(pending_, &connection, &std::shared_ptr<Connection>::get);
  if (found == pending_.end()) return nullptr;
  std::shared_ptr<Connection> taken = std::move(*found);
  pending_.erase(found);
  return taken;
}

void FramedTcp::on_hello(Connection& connection, const Hello& hello) {
  if (connection.dialled()) {
    answer_to_dial(connection, hello);
  } else {
    judge_caller(connection, hello);
  }
}

Verdict FramedTcp::verdict_on(const Hello& hello) const {
  if (hello.version != kWireVersion) return Verdict::other_version;
  if (hello.cluster_id != cluster_id_) return Verdict::other_cluster;
  return hello.expected == self_ ? Verdict::accepted : Verdict::other_member;
}

Verdict FramedTcp::verdict_on_caller(const Hello& hello) const {
  const Verdict verdict = verdict_on(hello);
  if (verdict != Verdict::accepted) return verdict;
  const bool known = hello.self < self_ && peers_.contains(hello.self);
  return known ? Verdict::accepted : Verdict::unknown_member;
}

void FramedTcp::answer_to_dial(Connection& connection, const Hello& hello) {
  const NodeId id = connection.peer();
  Peer& peer = peers_.at(id);
  const std::string whom = "member " + number(id) + " at " + connection.address();
  Verdict verdict = verdict_on(hello);
  if (verdict == Verdict::accepted && hello.self != id) verdict = Verdict::other_member;
  if (verdict != Verdict::accepted) {
    say(LogLevel::warn, LogTopic::refused_peer,
        "refused " + whom + ": " + std::string(describe(verdict)));
  } else if (hello.verdict != Verdict::accepted) {
    say(LogLevel::warn, LogTopic::refused_by_peer,
        whom + " refuses this member " + number(self_) +
            ", from its side: " + std::string(describe(hello.verdict)));
  } else {
    peer.dialer->succeeded();
    connection.establish(id);
    say(LogLevel::info, LogTopic::connected, "connected to " + whom);
    return receiver_->on_connected(id);
  }
  connection.close();
  peer.connection.reset();
  peer.dialer->failed();
}

void FramedTcp::judge_caller(Connection& connection, const Hello& hello) {
  const std::shared_ptr<Connection> taken = take_pending(connection);
  CHECK(taken != nullptr, "a caller is pending until it says who it is");
  const Verdict verdict = verdict_on_caller(hello);
  connection.answer(
      {.verdict = verdict, .cluster_id = cluster_id_, .self = self_, .expected = hello.self});
  if (verdict != Verdict::accepted) {
    say(LogLevel::warn, LogTopic::refused_peer,
        "refused a connection from " + connection.address() + ", which says it is member " +
            number(hello.self) + ": " + std::string(describe(verdict)));
    return connection.close();
  }
  connection.establish(hello.self);
  if (connection.established()) replace(hello.self, taken);
}

void FramedTcp::replace(NodeId id, std::shared_ptr<Connection> connection) {
  // The peer dials again only when it believes the old connection dead, so it is.
  const std::string address = connection->address();
  const std::shared_ptr<Connection> old =
      std::exchange(peers_.at(id).connection, std::move(connection));
  if (old != nullptr && old->established()) {
    old->close();
    receiver_->on_disconnected(id);
  }
  if (!connected(id)) return;  // the receiver has forgotten the peer
  say(LogLevel::info, LogTopic::connected, "member " + number(id) + " connected from " + address);
  receiver_->on_connected(id);
}

void FramedTcp::on_frame(Connection& connection, Bytes frame) {
  receiver_->on_frame(connection.peer(), std::move(frame));
}

void FramedTcp::on_bulk_left(Connection& connection, size_t frames) {
  // Told in a task of its own: the receiver answers with more frames for this very connection.
  if (bulk_left_.empty()) loop_.post(while_alive([this] { tell_bulk_sent(); }));
  bulk_left_.emplace_back(connection.shared_from_this(), frames);
}

void FramedTcp::tell_bulk_sent() {
  for (const auto& [connection, frames] : std::exchange(bulk_left_, {})) {
    for (size_t frame = 0; frame < frames && connection->established(); ++frame) {
      receiver_->on_bulk_sent(connection->peer());
    }
  }
}

void FramedTcp::on_closed(Connection& connection, const std::string& reason) {
  if (take_pending(connection) != nullptr) {
    if (connection.was_asked()) return;
    return say(
        LogLevel::warn, LogTopic::refused_peer,
        "gave up a connection from " + connection.address() + " before its hello: " + reason);
  }
  const NodeId id = connection.peer();
  const auto found = peers_.find(id);
  if (found == peers_.end() || found->second.connection.get() != &connection) return;
  Peer& peer = found->second;
  peer.connection.reset();
  const bool was_connected = connection.was_established();
  const std::string whom = "member " + number(id) + " at " + connection.address();
  if (was_connected) {
    say(LogLevel::warn, LogTopic::lost, "lost the connection to " + whom + ": " + reason);
  } else if (connection.was_distrusted()) {
    say(LogLevel::warn, LogTopic::refused_peer, "cannot trust " + whom + ": " + reason);
  } else {
    say(LogLevel::debug, LogTopic::unreachable, "cannot reach " + whom + ": " + reason);
  }
  if (peer.dialer != nullptr) peer.dialer->failed();
  if (was_connected) receiver_->on_disconnected(id);
}

}  // namespace

Result<std::unique_ptr<TcpNetwork>> make_tcp_network(EventLoop& loop, const TcpOptions& options) {
  CHECK(options.self.value != 0, "a member has an id");
  std::vector<Listening> listening;
  for (const std::string& address : options.listen) {
    const Result<std::vector<int>> opened = listen_on(address);
    if (!opened.has_value()) {
      for (const Listening& each : listening) ::close(each.descriptor);
      return std::unexpected<Error>(opened.error());
    }
    CHECK(!is_secure(address) || options.security != nullptr, "TLS needs to be told how");
    for (const int descriptor : *opened) listening.push_back({descriptor, is_secure(address)});
  }
  return std::make_unique<FramedTcp>(loop, options, listening);
}

}  // namespace quorate::world
