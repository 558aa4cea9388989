#include "front/grpc/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/socket_text.h"
#include "front/grpc/http1_session.h"
#include "front/grpc/http2_session.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

// RFC 9113, section 3.4: what every HTTP/2 client sends first.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Every TLS connection begins with a record of this type (RFC 8446, section 5.1), and no protocol
// in plain text here with such a byte.
constexpr char kHandshakeRecord = 0x16;
// To a browser or curl that was told http://.
constexpr std::string_view kPlainTextAnswer =
    "HTTP/1.0 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n"
    "this port speaks TLS: use https://\n";

std::string remote_address(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "?";
  return socket_text(address);
}

}  // namespace

Connection::Connection(Server& server, int descriptor,
                       std::unique_ptr<world::SecureChannel> channel, const Door& door)
    : Bearer(server, door.offer, kAnswersBytesMax),
      descriptor_(descriptor),
      channel_(std::move(channel)),
      opened_(server.now()),
      plain_too_(door.plain_too),
      shaking_hands_(channel_ != nullptr) {
  if (shaking_hands_) server_.count_handshake(1);
}

Connection::~Connection() { close(); }

Result<void> Connection::start() { return server_.poller().watch(descriptor_, true, false, *this); }

void Connection::close() {
  if (closed()) return;
  say_goodbye();
  end_handshake();
  server_.poller().forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
  forget_calls();
  session_.reset();
  server_.retire(*this);
}

void Connection::on_ready(bool readable, bool writable, bool broken) {
  if (broken && !readable) {
    close();
    return;
  }
  server_.enter_event();
  if (writable) {
    write_blocked_ = false;
    server_.mark_dirty(*this);
  }
  if (readable && reading_) read();
  server_.leave_event();
}

void Connection::end_handshake() {
  if (shaking_hands_) server_.count_handshake(-1);
  shaking_hands_ = false;
}

// So that a client can tell the end from a connection that was cut. Best effort: never waits.
void Connection::say_goodbye() {
  if (channel_ == nullptr || !channel_->open() || !output_.empty()) return;
  std::string farewell;
  channel_->finish(farewell);
  static_cast<void>(
      ::send(descriptor_, farewell.data(), farewell.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

void Connection::turn_away(bool sent_plain_text) {
  if (shaking_hands_) {
    ++server_.counters().handshakes_failed;
    server_.complain("turned a client away, " + remote_address(descriptor_) + ": " +
                     channel_->problem());
    if (sent_plain_text) output_.append(kPlainTextAnswer);
  }
  end_handshake();
  closing_ = true;
  reading_ = false;
}

void Connection::run_sealed(std::string_view input) {
  if (plain_too_ && input.front() != kHandshakeRecord) {
    end_handshake();
    channel_.reset();
    return run_input(input);
  }
  const bool plain_text = shaking_hands_ && input.front() >= 'A' && input.front() <= 'Z';
  plain_too_ = false;
  channel_->feed(input);
  std::string& plain = server_.plain_buffer();
  const std::span<uint8_t> target(reinterpret_cast<uint8_t*>(plain.data()), plain.size());
  while (!closing_) {
    const size_t got = channel_->read(target, output_.text());
    if (got == 0) break;
    run_input(std::string_view(plain).substr(0, got));
  }
  channel_->feed({});
  server_.mark_dirty(*this);
  if (channel_->open()) end_handshake();
  if (!channel_->problem().empty()) return turn_away(plain_text);
  if (channel_->ended() && !closing_) {
    reading_ = false;
    closing_ = session_ == nullptr || !session_->on_input_end();
  }
}

void Connection::read() {
  if (shaking_hands_ && !server_.may_shake_hands()) return;  // the poller asks again
  std::string& buffer = server_.read_buffer();
  const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  if (got > 0) {
    server_.counters().bytes_received += static_cast<uint64_t>(got);
    const auto input = std::string_view(buffer).substr(0, static_cast<size_t>(got));
    const bool first = channel_ == nullptr && session_ == nullptr && input_.empty();
    if (first && input.front() == kHandshakeRecord) {
      server_.complain("turned a client away, " + remote_address(descriptor_) +
                       ": it speaks TLS, and this port is plain (http://)");
      return close();
    }
    return channel_ == nullptr ? run_input(input) : run_sealed(input);
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got == 0 && session_ != nullptr && session_->on_input_end()) {
    reading_ = false;
    server_.mark_dirty(*this);
    return;
  }
  close();
}

bool Connection::choose_session(std::string_view& input) {
  if (!input_.empty() || input.size() < kPreface.size()) {
    input_.append(input);
    input = input_;
  }
  const size_t known = std::min(input.size(), kPreface.size());
  if (input.substr(0, known) != kPreface.substr(0, known)) {
    session_ = make_http1_session(*this);
  } else if (known == kPreface.size()) {
    session_ = make_http2_session(*this);
  } else {
    return false;
  }
  if (server_.draining()) session_->drain();
  return true;
}

void Connection::run_input(std::string_view input) {
  std::string kept;
  if (session_ == nullptr) {
    if (!choose_session(input)) return;
    kept.swap(input_);
    if (!kept.empty()) input = kept;
  }
  server_.mark_dirty(*this);
  if (!session_->feed(input)) {
    closing_ = true;
    reading_ = false;
  }
}

// Writes what the socket takes; false: the connection is broken.
bool Connection::write(Output& output) {
  std::array<iovec, kRunsPerWriteMax> runs;
  while (!output.empty()) {
    msghdr message{};
    message.msg_iov = runs.data();
    message.msg_iovlen = output.gather(runs);
    const ssize_t wrote = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        write_blocked_ = true;
        return true;
      }
      return false;
    }
    server_.counters().bytes_sent += static_cast<uint64_t>(wrote);
    output.drop(static_cast<size_t>(wrote));
  }
  return true;
}

// Most output leaves at once and never lies in a queue of the connection's own.
bool Connection::write_fresh() {
  Output& fresh = server_.output_buffer();
  fresh.clear();
  fill(fresh);
  const bool good = write(fresh);
  fresh.move(fresh.size(), output_);
  return good;
}

void Connection::fill(Output& output) {
  if (session_ == nullptr) return;
  if (channel_ == nullptr) return session_->fill(output);
  if (!channel_->open()) return;
  Output& plain = server_.plain_output();
  plain.clear();
  session_->fill(plain);
  channel_->write(plain.joined(), output.text());
}

// Writes what is ready, as far as the socket takes it; false: the connection is to be closed.
bool Connection::write_ready() {
  // Each round fills a buffer of bounded size.
  uint64_t sent = 0;
  do {
    sent = server_.counters().bytes_sent;
    bool good = true;
    if (output_.empty() && !write_blocked_) {
      good = write_fresh();
    } else {
      if (output_.size() < kOutputBytesMax) fill(output_);
      if (!write_blocked_) good = write(output_);
      if (output_.empty()) output_.forget_large();
    }
    if (!good) return false;
  } while (!write_blocked_ && server_.counters().bytes_sent != sent);
  return !output_.empty() || !(closing_ || (session_ != nullptr && session_->finished()));
}

bool Connection::flush() {
  if (closed() || (session_ == nullptr && channel_ == nullptr)) return false;
  const uint64_t enough = server_.counters().bytes_sent + kWrittenPerTurnBytesMax;
  bool ran = false;
  // Each answer leaves before the next call runs: it is still in the processor's cache then.
  do {
    if (!write_ready()) {
      close();
      return false;
    }
    ran = run_waiting();
  } while (ran && !closed() && !write_blocked_ && server_.counters().bytes_sent < enough);
  update_interest();
  return ran;
}

void Connection::update_interest() {
  if (reading_ == watching_read_ && write_blocked_ == watching_write_) return;
  watching_read_ = reading_;
  watching_write_ = write_blocked_;
  server_.poller().change(descriptor_, watching_read_, watching_write_);
}

void Connection::sweep(Time now) {
  if (closed()) return;
  Time deadline = session_ == nullptr ? opened_ + kPrefaceDeadline : session_->deadline();
  if (shaking_hands_) deadline = opened_ + kHandshakeDeadline;
  if (now >= deadline) close();
}

void Connection::drain() {
  if (closed()) return;
  if (session_ == nullptr) {
    close();
    return;
  }
  session_->drain();
  server_.mark_dirty(*this);
}

}  // namespace quorate::front::grpc
