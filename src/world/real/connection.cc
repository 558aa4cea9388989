#include "world/real/connection.h"

#include <linux/sockios.h>
#include <linux/tcp.h>  // and not the older one of netinet: for the delivery rate
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/check.h"

namespace quorate::world {
namespace {

// Unacknowledged bytes in the kernel above which bulk waits. It grows with what the link was
// seen to deliver, so that a fast one is filled and a heartbeat on a slow one stands behind some
// 20 ms of bulk only (and one piece of it, at the least).
constexpr uint64_t kBulkWindowMin = kPieceBytesMax;
constexpr uint64_t kBulkWindowMax = uint64_t{4} << 20U;
constexpr uint64_t kBulkWindowUnknown = uint64_t{256} << 10U;
constexpr uint64_t kBulkQueueMicroseconds = 20'000;
// Unsent bytes the kernel holds of any lane: what waits beyond waits with us, where urgent
// frames can still overtake it.
constexpr int kUnsentBytesMax = kPieceBytesMax;
// No event tells that unacknowledged bytes have drained, so a waiting bulk frame looks again.
constexpr Duration kBulkRetry = std::chrono::milliseconds(1);
// Reads of one connection in one turn; the others get their share before it goes on.
constexpr int kReadsPerTurnMax = 8;
// Bytes sealed at once, and read at once to be opened. What is sealed cannot be overtaken any more,
// so it is no more than a piece.
constexpr size_t kSealedBytesMax = kPieceBytesMax;
// The first byte of every TLS connection (RFC 8446, section 5.1).
constexpr uint8_t kTlsHandshake = 0x16;
// Pieces of one write: two for each frame. Far below the kernel's limit of 1024, and on the stack.
constexpr size_t kPiecesMax = 128;
// A peer that answers nothing for this long is given up (TCP_USER_TIMEOUT, keep-alive).
constexpr int kSilenceMilliseconds = 5000;
constexpr int kKeepAliveIdleSeconds = 2;
constexpr int kKeepAliveIntervalSeconds = 1;
constexpr int kKeepAliveProbes = 3;

void set_option(int descriptor, int level, int option, int value) {
  // Each of these only improves the connection: one that the kernel lacks is done without.
  ::setsockopt(descriptor, level, option, &value, sizeof value);
}

void tune(int descriptor) {
  set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kUnsentBytesMax);
  set_option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, kSilenceMilliseconds);
  set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

// What the link delivers in the time that a byte takes at best, and a little more: then the
// queue in front of the link stays that short, however slow it is.
uint64_t bulk_window(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  const bool known = ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                     size >= offsetof(tcp_info, tcpi_delivery_rate) + sizeof(uint64_t);
  if (!known) return kBulkWindowUnknown;
  constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;
  const uint64_t wait = info.tcpi_min_rtt + kBulkQueueMicroseconds;
  const uint64_t delivered =
      info.tcpi_delivery_rate / kMicrosecondsPerSecond * wait +
      info.tcpi_delivery_rate % kMicrosecondsPerSecond * wait / kMicrosecondsPerSecond;
  return std::clamp(delivered, kBulkWindowMin, kBulkWindowMax);
}

}  // namespace

void Connection::dial(const SocketAddress& address, NodeId peer, const Hello& hello,
                      std::unique_ptr<SecureChannel> channel) {
  address_ = address.text();
  channel_ = std::move(channel);
  peer_ = peer;
  dialled_ = true;
  greeting_ = encode_hello(hello);
  const int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return end(std::strerror(errno));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(descriptor, generic, address.size) != 0 && errno != EINPROGRESS) {
    const int code = errno;
    ::close(descriptor);
    return end(std::strerror(code));
  }
  begin(descriptor, State::connecting);
}

void Connection::accept(int descriptor, const SocketAddress& address,
                        std::unique_ptr<SecureChannel> channel) {
  address_ = address.text();
  channel_ = std::move(channel);
  begin(descriptor, State::greeting);
}

void Connection::begin(int descriptor, State state) {
  CHECK(state_ == State::fresh, "a connection begins once");
  descriptor_ = descriptor;
  state_ = state;
  tune(descriptor);
  watching_writes_ = state == State::connecting;
  const Result<void> watched = loop_.watch(descriptor, true, watching_writes_, *this);
  if (!watched.has_value()) return end(watched.error().text);
  handshake_timer_ = loop_.at(loop_.now() + kHandshakeTimeout, [this] {
    handshake_timer_ = 0;
    end("the handshake took too long");
  });
}

void Connection::answer(const Hello& hello) {
  CHECK(state_ == State::greeting, "a hello is answered once, before anything else");
  queue_.add_raw(encode_hello(hello));
  flush();
}

void Connection::introduce(const Bytes& introduction) {
  CHECK(state_ == State::greeting, "a question is answered once, before anything else");
  state_ = State::answering;
  was_asked_ = true;
  queue_.add_raw(encode_introduction(introduction));
  flush();
}

void Connection::establish(NodeId peer) {
  if (state_ != State::greeting) return;  // answering failed: closed already
  peer_ = peer;
  state_ = State::established;
  was_established_ = true;
  loop_.cancel(handshake_timer_);
  handshake_timer_ = 0;
}

void Connection::close() {
  state_ = State::closed;
  loop_.cancel(handshake_timer_);
  loop_.cancel(bulk_timer_);
  handshake_timer_ = bulk_timer_ = 0;
  if (descriptor_ < 0) return;
  loop_.forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
}

void Connection::end(const std::string& reason) {
  if (state_ == State::closed) return;
  const std::shared_ptr<Connection> alive = shared_from_this();
  close();
  owner_.on_closed(*this, reason);
}

void Connection::on_ready(bool readable, bool writable, bool broken) {
  const std::shared_ptr<Connection> alive = shared_from_this();
  if (state_ == State::connecting && (writable || broken)) finish_connecting();
  if (state_ == State::answering && (writable || broken)) return flush();
  if (state_ != State::greeting && state_ != State::established) return;
  // Read even when broken: what the peer said last, a refusal perhaps, may still be there.
  if (readable || broken) read();
  if (writable && state_ != State::closed) flush();
}

void Connection::finish_connecting() {
  int code = 0;
  socklen_t size = sizeof code;
  ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &code, &size);
  if (code != 0) return end(std::strerror(code));
  state_ = State::greeting;
  queue_.add_raw(std::move(greeting_));
  if (channel_ != nullptr) channel_->read({}, sealed_);  // the handshake begins
  flush();
}

void Connection::read() {
  for (int round = 0; round < kReadsPerTurnMax; ++round) {
    if (!(channel_ == nullptr ? read_plain() : read_sealed())) return;
  }
}

// False: nothing has come, or the connection is over.
bool Connection::receive(std::span<uint8_t> space, size_t& size) {
  ssize_t count = 0;
  do {
    count = ::recv(descriptor_, space.data(), space.size(), MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count == 0) end("the peer closed the connection");
  if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) end(std::strerror(errno));
  if (count <= 0) return false;
  size = static_cast<size_t>(count);
  metrics_.bytes_received += size;
  return true;
}

// Both return whether more may wait.
bool Connection::read_plain() {
  const std::span<uint8_t> space = received_.space();
  size_t size = 0;
  if (!receive(space, size)) return false;
  received_.received(size);
  return parse() && size == space.size();
}

bool Connection::read_sealed() {
  std::array<uint8_t, kSealedBytesMax> block;
  size_t size = 0;
  if (!receive(block, size)) return false;
  channel_->feed({reinterpret_cast<const char*>(block.data()), size});
  bool wanted = true;
  while (wanted) {
    const size_t opened = channel_->read(received_.space(), sealed_);
    if (opened == 0) break;
    received_.received(opened);
    wanted = parse();
  }
  channel_->feed({});
  if (wanted) end_sealed();
  flush();
  return wanted && state_ != State::closed && size == block.size();
}

void Connection::end_sealed() {
  const std::string& problem = channel_->problem();
  if (problem.empty() && !channel_->ended()) return;
  // The other side is told, if the socket takes it at once: it is over in any case.
  ::send(descriptor_, sealed_.data() + sealed_sent_, sealed_.size() - sealed_sent_,
         MSG_NOSIGNAL | MSG_DONTWAIT);
  end(problem.empty() ? "the peer closed the connection" : "TLS: " + problem);
}

bool Connection::parse_hello() {
  const auto bytes = received_.take_hello();
  if (!bytes.has_value()) return false;
  if (!dialled_ && is_question(*bytes)) {
    owner_.on_question(*this);
    CHECK(state_ != State::greeting, "the owner answers when it is asked");
    return false;
  }
  const auto hello = decode_hello(*bytes);
  if (!hello.has_value()) {
    const bool secured = channel_ == nullptr && (*bytes)[0] == kTlsHandshake;
    end(secured ? "it speaks TLS, and this peer URL is plain (http://)"
                : std::string(describe(hello.error())));
    return false;
  }
  owner_.on_hello(*this, *hello);
  CHECK(state_ != State::greeting, "the owner establishes or closes when it hears a hello");
  return state_ == State::established;
}

bool Connection::parse() {
  if (state_ == State::greeting && !parse_hello()) return state_ != State::closed;
  while (state_ == State::established) {
    auto frame = received_.take_frame();
    if (!frame.has_value()) {
      ++metrics_.frames_damaged;
      end(std::string(describe(frame.error())));
      return false;
    }
    if (!frame->has_value()) return true;
    owner_.on_frame(*this, std::move(**frame));
  }
  return false;
}

bool Connection::send(Lane lane, const Bytes& frame) {
  return state_ == State::established && queue_.add(lane, frame);
}

bool Connection::bulk_allowed() const {
  int unacknowledged = 0;
  if (::ioctl(descriptor_, SIOCOUTQ, &unacknowledged) != 0) return true;
  return static_cast<uint64_t>(unacknowledged) < bulk_window(descriptor_);
}

void Connection::wait_for_bulk() {
  if (bulk_timer_ != 0) return;
  bulk_timer_ = loop_.at(loop_.now() + kBulkRetry, [this] {
    bulk_timer_ = 0;
    flush();
  });
}

void Connection::watch_writes(bool wanted) {
  if (wanted == watching_writes_) return;
  watching_writes_ = wanted;
  loop_.change(descriptor_, true, wanted);
}

// Bytes the kernel took; 0 when it takes none now, -1 with errno when the connection is gone.
ssize_t Connection::write_some(bool with_bulk, size_t& offered) {
  std::array<iovec, kPiecesMax> pieces;
  const size_t count = queue_.gather(pieces, with_bulk);
  offered = 0;
  for (size_t piece = 0; piece < count; ++piece) offered += pieces[piece].iov_len;
  if (count == 0) return 0;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  ssize_t taken = 0;
  do {
    taken = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (taken < 0 && errno == EINTR);
  return taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : taken;
}

// What waits first, sealed, as far as it may be sent now; how many bulk frames are complete with
// it.
size_t Connection::seal_some() {
  if (!channel_->open() || queue_.empty()) return 0;
  std::array<iovec, kPiecesMax> pieces;
  const size_t count = queue_.gather(pieces, queue_.has_bulk() && bulk_allowed());
  if (count == 0) {
    wait_for_bulk();
    return 0;
  }
  // Small frames share a record, each of which costs some thirty bytes and a call of the cipher.
  std::array<char, kSealedBytesMax> plain;
  size_t size = 0;
  for (size_t piece = 0; piece < count && size < plain.size(); ++piece) {
    const size_t part = std::min(pieces[piece].iov_len, plain.size() - size);
    std::memcpy(plain.data() + size, pieces[piece].iov_base, part);
    size += part;
  }
  channel_->write({plain.data(), size}, sealed_);
  return queue_.sent(size);
}

void Connection::flush_sealed() {
  size_t bulk_frames = 0;
  bool blocked = false;
  while (!blocked) {
    if (sealed_.empty()) bulk_frames += seal_some();
    if (sealed_.empty()) break;
    const ssize_t taken = ::send(descriptor_, sealed_.data() + sealed_sent_,
                                 sealed_.size() - sealed_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken < 0 && errno == EINTR) continue;
    blocked = taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (taken < 0 && !blocked) return end(std::strerror(errno));
    if (blocked) break;
    metrics_.bytes_sent += static_cast<size_t>(taken);
    sealed_sent_ += static_cast<size_t>(taken);
    if (sealed_sent_ < sealed_.size()) continue;
    sealed_.clear();
    sealed_sent_ = 0;
  }
  watch_writes(blocked);
  if (state_ == State::answering && !blocked && queue_.empty()) return end("it has its answer");
  if (bulk_frames > 0) owner_.on_bulk_left(*this, bulk_frames);
}

void Connection::flush() {
  const bool open =
      state_ == State::greeting || state_ == State::answering || state_ == State::established;
  if (!open) return;
  const std::shared_ptr<Connection> alive = shared_from_this();
  if (channel_ != nullptr) return flush_sealed();
  size_t bulk_frames = 0;
  bool blocked = false;
  while (!blocked && !queue_.empty()) {
    const bool with_bulk = queue_.has_bulk() && bulk_allowed();
    size_t offered = 0;
    const ssize_t taken = write_some(with_bulk, offered);
    if (taken < 0) return end(std::strerror(errno));
    if (offered == 0) {
      wait_for_bulk();
      break;
    }
    const auto size = static_cast<size_t>(taken);
    metrics_.bytes_sent += size;
    bulk_frames += queue_.sent(size);
    blocked = size < offered;
  }
  watch_writes(blocked);
  if (state_ == State::answering && !blocked) return end("it has its answer");
  if (bulk_frames > 0) owner_.on_bulk_left(*this, bulk_frames);
}

}  // namespace quorate::world
