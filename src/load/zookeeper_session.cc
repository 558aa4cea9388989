#include "load/zookeeper_session.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "load/clock.h"
#include "load/dial.h"
#include "load/limits.h"

namespace quorate::load::zookeeper {
namespace {

constexpr std::string_view kDefaultPort = "2181";
// Longer than the writing of the keys before a measurement keeps a session waiting.
constexpr Duration kSessionTimeout = std::chrono::seconds(40);
// Numbers of requests start again here: below zero are those that the server uses.
constexpr int32_t kNumberMax = 0x7ffffff0;

bool wait_for(int socket, short what, Time until) {
  const Duration left = until - clock_now();
  if (left <= Duration{}) return false;
  pollfd asked{socket, what, 0};
  return ::poll(&asked, 1, static_cast<int>(left / std::chrono::milliseconds(1)) + 1) == 1;
}

}  // namespace

Session::~Session() {
  if (socket_ >= 0) ::close(socket_);
}

Result<void> Session::open(Duration patience) {
  const Time until = clock_now() + patience;
  socket_ = begin_connect(Endpoint(endpoint_, kDefaultPort), problem_);
  if (socket_ < 0) return fail(ErrorKind::unavailable, problem_);
  append_connect(output_, kSessionTimeout);
  std::string_view frame;
  Cut cut = Cut::partial;
  bool alive = wait_for(socket_, POLLOUT, until) && write();
  while (alive && cut == Cut::partial) {
    alive = wait_for(socket_, POLLIN, until) && take_bytes();
    std::string_view input = input_;
    cut = take_frame(input, frame);
  }
  if (cut != Cut::whole || !grants_session(frame)) {
    ::close(std::exchange(socket_, -1));
    return fail(ErrorKind::unavailable,
                endpoint_ +
                    ": no session of ZooKeeper's was granted; does it run there, and does "
                    "it have a leader?");
  }
  input_.clear();  // nothing comes unasked behind it
  return {};
}

int32_t Session::expect(uint32_t tag) {
  next_ = next_ >= kNumberMax ? 1 : next_ + 1;
  waiting_.push_back({next_, tag});
  return next_;
}

void Session::get(uint32_t tag, std::string_view path) { append_get(output_, expect(tag), path); }

void Session::set(uint32_t tag, std::string_view path, std::string_view data) {
  append_set(output_, expect(tag), path, data);
}

void Session::create(uint32_t tag, std::string_view path, std::string_view data) {
  append_create(output_, expect(tag), path, data);
}

bool Session::write() {
  while (written_ < output_.size()) {
    const ssize_t count =
        ::send(socket_, output_.data() + written_, output_.size() - written_, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    written_ += static_cast<size_t>(count);
  }
  output_.clear();
  written_ = 0;
  return true;
}

void Session::flush(Receiver& receiver) {
  if (is_open() && !write()) lose(std::string("sending: ") + std::strerror(errno), receiver);
}

bool Session::take_bytes() {
  const size_t before = input_.size();
  input_.resize(before + kReadBytesMax);
  ssize_t count = -1;
  do {
    count = ::recv(socket_, input_.data() + before, kReadBytesMax, 0);
  } while (count < 0 && errno == EINTR);
  input_.resize(before + static_cast<size_t>(count > 0 ? count : 0));
  if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
  return count > 0;
}

void Session::read(Receiver& receiver) {
  if (!is_open()) return;
  const bool alive = take_bytes();
  std::string_view input = input_;
  std::string_view frame;
  Cut cut = take_frame(input, frame);
  for (; cut == Cut::whole; cut = take_frame(input, frame)) {
    const auto reply = read_reply(frame);
    if (!reply) return lose("a reply is too short", receiver);
    if (reply->number < 0) continue;  // events and pings, which nobody here asked for
    if (waiting_.empty() || waiting_.front().number != reply->number) {
      return lose("a reply came out of order", receiver);
    }
    const uint32_t tag = waiting_.front().tag;
    waiting_.pop_front();
    receiver.on_reply(tag, *reply);
  }
  if (cut == Cut::malformed) return lose("what came is no reply", receiver);
  input_.erase(0, input_.size() - input.size());
  if (!alive) lose("the server closed the connection", receiver);
}

void Session::lose(std::string why, Receiver& receiver) {
  problem_ = endpoint_ + ": " + std::move(why);
  ::close(std::exchange(socket_, -1));
  for (const Waiting& each : std::exchange(waiting_, {})) receiver.on_lost(each.tag);
}

}  // namespace quorate::load::zookeeper
