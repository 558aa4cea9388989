#include "front/grpc/connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "front/grpc/http1_session.h"
#include "front/grpc/http2_session.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

// RFC 9113, section 3.4: what every HTTP/2 client sends first.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

Connection::Connection(Server& server, int descriptor)
    : server_(server), descriptor_(descriptor), opened_(server.now()) {}

Connection::~Connection() { close(); }

Result<void> Connection::start() { return server_.poller().watch(descriptor_, true, false, *this); }

void Connection::adopt(Call& call) {
  call.older = newest_;
  call.newer = nullptr;
  if (newest_ != nullptr) newest_->newer = &call;
  newest_ = &call;
}

void Connection::drop(Call& call) {
  unsent_ -= call.unsent();
  if (!call.dispatched) unfinished_ -= call.inbound.size();
  if (call.newer != nullptr) call.newer->older = call.older;
  if (call.older != nullptr) call.older->newer = call.newer;
  if (newest_ == &call) newest_ = call.older;
  call.older = call.newer = nullptr;
}

void Connection::close() {
  if (closed()) return;
  server_.poller().forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
  while (newest_ != nullptr) server_.forget_call(*newest_);
  session_.reset();
  server_.retire(*this);
}

bool Connection::congested() const {
  return unsent_ + output_.size() - output_written_ > kUnsentBytesMax;
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

void Connection::read() {
  std::string& buffer = server_.read_buffer();
  const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  if (got > 0) {
    server_.counters().bytes_received += static_cast<uint64_t>(got);
    run_input(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
    return;
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

bool Connection::run_waiting() {
  bool ran = false;
  while (!waiting_.empty() && !congested() && !closed()) {
    const CallId id = waiting_.front();
    waiting_.pop_front();
    Call* call = server_.calls().find(id);
    if (call == nullptr || call->finished) continue;
    server_.dispatch(*call);
    ran = true;
  }
  return ran;
}

bool Connection::write_output() {
  while (output_written_ < output_.size()) {
    const ssize_t wrote = ::send(descriptor_, output_.data() + output_written_,
                                 output_.size() - output_written_, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        write_blocked_ = true;
        return true;
      }
      return false;
    }
    server_.counters().bytes_sent += static_cast<uint64_t>(wrote);
    output_written_ += static_cast<size_t>(wrote);
  }
  output_.clear();
  output_written_ = 0;
  return true;
}

bool Connection::flush() {
  if (closed() || session_ == nullptr) return false;
  // Each round fills a buffer of bounded size; the socket's own buffer ends the rounds.
  do {
    const size_t before = output_.size();
    if (output_.size() - output_written_ < kOutputBytesMax) session_->fill(output_);
    if (output_.size() == before && (write_blocked_ || output_.empty())) break;
    if (!write_blocked_ && !write_output()) {
      close();
      return false;
    }
  } while (!write_blocked_);
  if (output_.capacity() > 2 * kOutputBytesMax && output_.empty()) std::string().swap(output_);
  if (output_.empty() && (closing_ || session_->finished())) {
    close();
    return false;
  }
  const bool ran = run_waiting();
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
  const Time deadline = session_ == nullptr ? opened_ + kPrefaceDeadline : session_->deadline();
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
