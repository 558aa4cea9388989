#include "world/real/dialer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

constexpr Duration kBackOffMin = std::chrono::milliseconds(10);
// Well below an election timeout: a peer that is back is found before it is missed.
constexpr Duration kBackOffMax = std::chrono::milliseconds(200);
// A connection that lasted less is no success: otherwise two members that connect and part at
// once would do so without a pause.
constexpr Duration kLastingConnection = std::chrono::seconds(1);

}  // namespace

Dialer::Dialer(EventLoop& loop, Rng rng, Connect connect, Complain complain)
    : loop_(loop), rng_(rng), connect_(std::move(connect)), complain_(std::move(complain)) {}

Dialer::~Dialer() { stop(); }

void Dialer::stop() {
  loop_.cancel(timer_);
  timer_ = 0;
  alive_.reset();
}

void Dialer::set_addresses(std::vector<std::string> addresses) {
  addresses_ = std::move(addresses);
  std::erase_if(known_, [this](const auto& entry) {
    return std::ranges::find(addresses_, entry.first) == addresses_.end();
  });
  address_ = target_ = 0;
  if (state_ == State::waiting) {
    // What was said now is better than what was waited for.
    loop_.cancel(timer_);
    state_ = State::idle;
    start();
  }
}

void Dialer::start() {
  if (state_ == State::idle) wait(Duration::zero());
}

void Dialer::wait(Duration delay) {
  state_ = State::waiting;
  timer_ = loop_.at(loop_.now() + delay, [this] {
    timer_ = 0;
    dial_next();
  });
}

Duration Dialer::next_back_off() {
  back_off_ = back_off_ == Duration::zero() ? kBackOffMin : std::min(2 * back_off_, kBackOffMax);
  // A quarter more or less, so that members started together do not knock together for ever.
  const auto quarter = static_cast<uint64_t>(back_off_.count() / 4);
  return back_off_ - Duration(quarter) + Duration(rng_.below(2 * quarter + 1));
}

void Dialer::dial_next() {
  if (addresses_.empty()) {
    state_ = State::idle;
    return;
  }
  const std::string& address = addresses_[address_];
  const auto known = known_.find(address);
  if (known == known_.end()) return look_up(address);
  CHECK(target_ < known->second.size(), "a position past the last target moves to the next name");
  state_ = State::connecting;
  const SocketAddress target = known->second[target_];
  const std::string name = address;
  connect_(target, name);
}

void Dialer::look_up(const std::string& address) {
  state_ = State::resolving;
  const Result<HostPort> parsed = parse_host_port(address);
  if (!parsed.has_value() || is_numeric_host(parsed->host)) {
    return resolved(address, resolve(address, false));
  }
  using Found = Result<std::vector<SocketAddress>>;
  auto found = std::make_shared<Found>(fail(ErrorKind::unavailable, "not looked up yet"));
  loop_.run_blocking(
      DiskLane::background, [found, address] { *found = resolve(address, false); },
      [this, alive = std::weak_ptr<char>(alive_), found, address] {
        if (alive.lock() != nullptr) resolved(address, std::move(*found));
      });
}

void Dialer::resolved(const std::string& address, Result<std::vector<SocketAddress>> found) {
  CHECK(state_ == State::resolving, "an answer of the name service was asked for");
  const bool current = address_ < addresses_.size() && addresses_[address_] == address;
  if (found.has_value() && !found->empty()) {
    if (current) known_[address] = std::move(*found);
    return dial_next();  // with a replaced address, this looks up the new one
  }
  if (!found.has_value()) complain_(found.error().text);
  state_ = State::connecting;
  failed();
}

void Dialer::succeeded() {
  CHECK(state_ == State::connecting, "an attempt that succeeds was made");
  state_ = State::connected;
  connected_at_ = loop_.now();
}

void Dialer::failed() {
  CHECK(state_ == State::connecting || state_ == State::connected, "an attempt fails once");
  if (state_ == State::connected) {
    // The address was right: begin with it again.
    if (loop_.now() - connected_at_ >= kLastingConnection) back_off_ = Duration::zero();
    return wait(next_back_off());
  }
  if (addresses_.empty()) {
    state_ = State::idle;
    return;
  }
  const auto known = known_.find(addresses_[address_]);
  if (known != known_.end() && ++target_ < known->second.size()) return wait(Duration::zero());
  if (known != known_.end()) known_.erase(known);
  target_ = 0;
  address_ = (address_ + 1) % addresses_.size();
  wait(address_ == 0 ? next_back_off() : Duration::zero());
}

}  // namespace quorate::world
