#include "load/zookeeper_driver.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "load/limits.h"
#include "load/zookeeper_session.h"

namespace quorate::load {
namespace {

using zookeeper::Reply;
using zookeeper::Session;

// Nodes on their way while they are made: as the server limits requests of all clients
// (globalOutstandingLimit).
constexpr size_t kCreatesUnderWay = 1000;

// "/bench/" and the number; the prefix of a key has no slash in front.
std::string path_of(const KeySpace& space, uint64_t number) {
  return "/" + key_text(space.prefix, number);
}

class ZookeeperDriver final : public Driver, private zookeeper::Receiver {
 public:
  explicit ZookeeperDriver(ZookeeperLoad load)
      : load_(std::move(load)),
        values_(load_.space.value_bytes, load_.space.seed),
        rng_(load_.space.seed) {}
  ZookeeperDriver(const ZookeeperDriver&) = delete;
  ZookeeperDriver& operator=(const ZookeeperDriver&) = delete;
  ~ZookeeperDriver() override {
    if (poll_ >= 0) ::close(poll_);
  }

  std::vector<std::string> kinds() const override { return {load_.reads ? "get" : "set"}; }
  Result<void> prepare() override;
  bool ready() const override { return open_ != 0; }
  void issue(const Operation& operation) override;
  void turn(Duration patience, Listener& listener) override;
  std::string first_error() const override { return first_error_; }

 private:
  struct Link {
    std::unique_ptr<Session> session;
    bool marked = false;
    bool wants_write = false;
  };
  void on_reply(uint32_t tag, const Reply& reply) override;
  void on_lost(uint32_t tag) override;
  Outcome judge(const Reply& reply);
  void complain(std::string text) {
    if (first_error_.empty()) first_error_ = std::move(text);
  }
  Result<void> open_session();
  Result<void> make_parents(Session& session);
  Result<void> make_nodes();
  Link& next_open();
  void flush(Link& link);
  void interest(Link& link, bool writable);
  void count_open();

  ZookeeperLoad load_;
  Values values_;
  Rng rng_;
  std::vector<Link> links_;
  std::vector<Link*> marked_;
  size_t open_ = 0;
  size_t turn_ = 0;
  int poll_ = -1;
  Listener* listener_ = nullptr;  // null while nodes are made
  size_t creates_done_ = 0;
  size_t creates_failed_ = 0;
  std::string first_error_;
};

Result<void> ZookeeperDriver::open_session() {
  const std::string& endpoint = load_.endpoints[links_.size() % load_.endpoints.size()];
  Link link{std::make_unique<Session>(endpoint)};
  if (auto opened = link.session->open(load_.patience); !opened) return opened;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = links_.size();
  if (::epoll_ctl(poll_, EPOLL_CTL_ADD, link.session->descriptor(), &event) != 0) {
    return fail(ErrorKind::io, "the system does not watch one more socket");
  }
  links_.push_back(std::move(link));
  return {};
}

Result<void> ZookeeperDriver::prepare() {
  if (load_.endpoints.empty()) return fail(ErrorKind::invalid, "no endpoint was named");
  poll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (poll_ < 0) return fail(ErrorKind::io, "the system gives no epoll descriptor");
  links_.reserve(load_.sessions);  // links are pointed at
  if (auto opened = open_session(); !opened) return opened;
  // The others follow when the nodes are there: a session nobody uses for long is given up.
  if (auto made = make_nodes(); !made) return made;
  while (links_.size() < load_.sessions) {
    if (auto opened = open_session(); !opened) return opened;
  }
  count_open();
  return {};
}

Result<void> ZookeeperDriver::make_parents(Session& session) {
  const std::string path = path_of(load_.space, 0);
  size_t parents = 0;
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    session.create(0, std::string_view(path).substr(0, slash), "");
    ++parents;
  }
  while (creates_done_ < parents && session.is_open()) {
    session.flush(*this);
    epoll_event event{};
    ::epoll_wait(poll_, &event, 1, 100);
    session.read(*this);
  }
  creates_done_ = 0;
  return {};
}

Result<void> ZookeeperDriver::make_nodes() {
  Session& session = *links_.front().session;
  if (auto made = make_parents(session); !made) return made;
  uint64_t next = 0;
  while (creates_done_ < load_.space.keys && session.is_open()) {
    while (next < load_.space.keys && session.under_way() < kCreatesUnderWay) {
      session.create(0, path_of(load_.space, next++), values_.next());
    }
    session.flush(*this);
    epoll_event event{};
    ::epoll_wait(poll_, &event, 1, 100);
    session.read(*this);
  }
  if (!session.is_open()) return fail(ErrorKind::unavailable, session.problem());
  if (creates_failed_ > 0) {
    return fail(ErrorKind::unavailable, std::to_string(creates_failed_) +
                                            " nodes could not be made, the first for " +
                                            first_error_);
  }
  return {};
}

void ZookeeperDriver::count_open() {
  open_ = static_cast<size_t>(std::count_if(
      links_.begin(), links_.end(), [](const Link& link) { return link.session->is_open(); }));
}

ZookeeperDriver::Link& ZookeeperDriver::next_open() {
  CHECK(open_ != 0, "nobody issues when no session is open");
  do {
    turn_ = (turn_ + 1) % links_.size();
  } while (!links_[turn_].session->is_open());
  return links_[turn_];
}

void ZookeeperDriver::issue(const Operation& operation) {
  const uint64_t number = load_.space.order == KeyOrder::sequential
                              ? operation.sequence % load_.space.keys
                              : rng_.below(load_.space.keys);
  Link& link = next_open();
  if (load_.reads) {
    link.session->get(operation.slot, path_of(load_.space, number));
  } else {
    link.session->set(operation.slot, path_of(load_.space, number), values_.next());
  }
  if (!std::exchange(link.marked, true)) marked_.push_back(&link);
}

void ZookeeperDriver::interest(Link& link, bool writable) {
  if (std::exchange(link.wants_write, writable) == writable || !link.session->is_open()) return;
  epoll_event event{};
  event.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(&link - links_.data());
  ::epoll_ctl(poll_, EPOLL_CTL_MOD, link.session->descriptor(), &event);
}

void ZookeeperDriver::flush(Link& link) {
  link.session->flush(*this);
  interest(link, link.session->blocked());
}

void ZookeeperDriver::turn(Duration patience, Listener& listener) {
  listener_ = &listener;
  for (Link* link : std::exchange(marked_, {})) {
    link->marked = false;
    flush(*link);
  }
  std::array<epoll_event, kReadyMax> events{};
  const auto milliseconds = static_cast<int>(patience / std::chrono::milliseconds(1));
  const int count = ::epoll_wait(poll_, events.data(), kReadyMax, milliseconds);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    Link& link = links_[event.data.u64];
    if ((event.events & EPOLLOUT) != 0) flush(link);
    if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) link.session->read(*this);
    if (!link.session->is_open() && !link.session->problem().empty()) {
      complain(link.session->problem());
    }
  }
  count_open();
  listener_ = nullptr;
}

Outcome ZookeeperDriver::judge(const Reply& reply) {
  if (reply.error != 0) {
    complain(zookeeper::error_text(reply.error));
    return Outcome::unknown;
  }
  if (!load_.reads) {
    if (reply.body.size() == zookeeper::kStatBytes) return Outcome::ok;
  } else if (const auto data = zookeeper::read_data(reply.body);
             data && data->size() == load_.space.value_bytes) {
    return Outcome::ok;
  }
  complain("an answer of another size than expected");
  return Outcome::wrong_answer;
}

void ZookeeperDriver::on_reply(uint32_t tag, const Reply& reply) {
  if (listener_ != nullptr) return listener_->on_done(tag, judge(reply), 0);
  ++creates_done_;
  if (reply.error == 0 || reply.error == zookeeper::kNodeExists) return;
  ++creates_failed_;
  complain(zookeeper::error_text(reply.error));
}

void ZookeeperDriver::on_lost(uint32_t tag) {
  if (listener_ != nullptr) listener_->on_done(tag, Outcome::connection_lost, 0);
}

}  // namespace

std::unique_ptr<Driver> zookeeper_driver(ZookeeperLoad load) {
  return std::make_unique<ZookeeperDriver>(std::move(load));
}

}  // namespace quorate::load
