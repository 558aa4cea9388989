#include "load/http2_client.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "load/clock.h"
#include "load/http2_connection.h"

namespace quorate::load {
namespace {

constexpr std::string_view kDefaultPort = "2379";

void append_message(std::string_view message, std::string& out) {
  const auto size = static_cast<uint32_t>(message.size());
  const std::array<char, kMessagePrefixBytes> prefix = {
      0, static_cast<char>(size >> 24U), static_cast<char>(size >> 16U),
      static_cast<char>(size >> 8U), static_cast<char>(size)};
  out.append(prefix.data(), prefix.size());
  out.append(message);
}

}  // namespace

Http2Client::Http2Client(Servers servers, uint32_t connections)
    : security_(servers.security),
      token_(std::move(servers.token)),
      read_buffer_(kReadBytesMax, '\0') {
  for (const std::string& text : servers.endpoints) {
    const Endpoint& known = endpoints_.emplace_back(text, kDefaultPort);
    CHECK(!known.secured || security_ != nullptr, "checked by the caller");
    if (known.secured) plain_buffer_.resize(kReadBytesMax);
  }
  CHECK(!endpoints_.empty() && connections > 0 && connections <= kConnectionsMax,
        "checked by the caller");
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  CHECK(poll_ >= 0, "an epoll descriptor at start");
  // The kernel may round a sleep by 50 us otherwise: as much as an answer takes.
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  for (uint32_t number = 0; number < connections; ++number) {
    connections_.push_back(std::make_unique<Connection>(*this, number % endpoints_.size()));
  }
  closed_ = connections;
}

Http2Client::~Http2Client() {
  connections_.clear();
  ::close(poll_);
}

Result<void> Http2Client::connect(Duration patience) {
  const Time end = clock_now() + patience;
  while (open_ < connections_.size()) {
    if (clock_now() > end) {
      return fail(ErrorKind::unavailable,
                  std::to_string(connections_.size() - open_) + " of " +
                      std::to_string(connections_.size()) + " connections could not be opened: " +
                      (last_problem_.empty() ? "no answer" : last_problem_) +
                      "; is a server running there?");
    }
    turn(std::chrono::milliseconds(10));
  }
  return {};
}

Call& Http2Client::take_call(CallHandler& handler, uint64_t tag) {
  if (free_calls_.empty()) {
    all_calls_.push_back(std::make_unique<Call>());
    free_calls_.push_back(all_calls_.back().get());
  }
  Call& call = *free_calls_.back();
  free_calls_.pop_back();
  call.handler = &handler;
  call.tag = tag;
  call.answer_bytes = 0;
  call.status_came = false;
  call.deferred = false;
  call.outcome = Outcome::no_status;
  call.text.clear();
  call.output.clear();
  call.sent = 0;
  call.input.clear();
  return call;
}

void Http2Client::give_back(Call& call) { free_calls_.push_back(&call); }

Connection& Http2Client::next_open() {
  CHECK(open_ != 0, "ready() was asked");
  for (;;) {
    turn_ = turn_ + 1 < connections_.size() ? turn_ + 1 : 0;
    if (connections_[turn_]->state() == Connection::State::open) return *connections_[turn_];
  }
}

void Http2Client::mark(Connection& connection) {
  if (std::exchange(connection.marked_, true)) return;
  marked_.push_back(&connection);
}

// NOLINTNEXTLINE(readability-function-size): what makes a call, once.
Call& Http2Client::start(std::string_view path, std::string_view message, CallHandler& handler,
                         uint64_t tag, bool keeps_messages) {
  Call& call = take_call(handler, tag);
  call.keeps_messages = keeps_messages;
  call.streams = false;
  append_message(message, call.output);
  next_open().submit(call, path);
  return call;
}

Call& Http2Client::open_stream(std::string_view path, CallHandler& handler, uint64_t tag) {
  Call& call = take_call(handler, tag);
  call.keeps_messages = true;
  call.streams = true;
  next_open().submit(call, path);
  return call;
}

void Http2Client::send(Call& call, std::string_view message) {
  if (call.sent == call.output.size()) {
    call.output.clear();
    call.sent = 0;
  }
  append_message(message, call.output);
  call.connection->resume(call);
}

void Http2Client::flush_marked() {
  std::swap(flushing_, marked_);
  for (Connection* connection : flushing_) {
    connection->marked_ = false;
    connection->flush();
  }
  flushing_.clear();
}

void Http2Client::reconnect_due() {
  const Time now = clock_now();
  for (const auto& connection : connections_) {
    if (connection->state() == Connection::State::closed && now >= connection->retry_at()) {
      connection->dial();
    }
  }
}

void Http2Client::turn(Duration patience) {
  if (closed_ != 0) {
    reconnect_due();
    if (closed_ != 0) patience = std::min(patience, kReconnectAfter);
  }
  flush_marked();
  std::array<epoll_event, kReadyMax> ready{};
  const timespec wait{static_cast<time_t>(patience.count() / 1'000'000'000),
                      static_cast<long>(patience.count() % 1'000'000'000)};
  const int count = ::epoll_pwait2(poll_, ready.data(), kReadyMax, &wait, nullptr);
  for (int place = 0; place < count; ++place) {
    const epoll_event& event = ready.at(static_cast<size_t>(place));
    const bool broken = (event.events & (EPOLLERR | EPOLLHUP)) != 0;
    static_cast<Connection*>(event.data.ptr)
        ->on_ready((event.events & EPOLLIN) != 0 || broken,
                   (event.events & EPOLLOUT) != 0 || broken);
  }
}

}  // namespace quorate::load
