#include "front/etcd/passwords.h"

#include <crypt.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"

namespace quorate::front::etcd {
namespace {

struct Order {
  std::string password;
  std::string hash;
};

// Empty: it could not be done, as with a hash that is none.
std::string crypt_with(const std::string& password, const std::string& setting) {
  auto data = std::make_unique<crypt_data>();
  const char* made = ::crypt_r(password.c_str(), setting.c_str(), data.get());
  if (made == nullptr || made[0] == '*') return {};
  return made;
}

std::string new_setting(uint32_t cost) {
  std::string setting(CRYPT_GENSALT_OUTPUT_SIZE, '\0');
  const char* made = ::crypt_gensalt_rn("$2b$", cost, nullptr, 0, setting.data(),
                                        static_cast<int>(setting.size()));
  return made == nullptr ? std::string() : std::string(made);
}

// In the same time wherever they differ.
bool equal(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  unsigned char differences = 0;
  for (size_t at = 0; at < left.size(); ++at) {
    differences |= static_cast<unsigned char>(left[at] ^ right[at]);
  }
  return differences == 0;
}

std::optional<std::string> carry_out(const Order& order, uint32_t cost) {
  // crypt() would read no further than to the zero, and let in who knows what stands before it.
  if (order.password.find('\0') != std::string::npos) return std::nullopt;
  if (order.hash.empty()) {
    std::string made = crypt_with(order.password, new_setting(cost));
    if (made.empty()) return std::nullopt;
    return made;
  }
  const std::string made = crypt_with(order.password, order.hash);
  if (made.empty() || !equal(made, order.hash)) return std::nullopt;
  return made;
}

}  // namespace

bool is_good_password(std::string_view password) {
  return password.size() <= kPasswordBytesMax && password.find('\0') == std::string_view::npos;
}

struct Passwords::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Order> order;  // for the thread
  bool stopped = false;
  std::thread thread;
  Passwords* owner = nullptr;  // of the executor's thread only
};

Passwords::Passwords(world::Executor& executor, uint32_t cost)
    : executor_(executor), cost_(cost), shared_(std::make_shared<Shared>()) {
  shared_->owner = this;
}

Passwords::~Passwords() {
  shared_->owner = nullptr;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopped = true;
  }
  shared_->changed.notify_one();
  if (shared_->thread.joinable()) shared_->thread.join();
}

bool Passwords::add(const std::string& name, Work work) {
  std::deque<Work>& queue = queues_[name];
  if (queue.size() >= kPasswordsOfNameMax || waiting_ >= kPasswordsWaitingMax) {
    if (queue.empty()) queues_.erase(name);
    return false;
  }
  if (queue.empty()) turns_.push_back(name);
  queue.push_back(std::move(work));
  ++waiting_;
  start_next();
  return true;
}

std::optional<Passwords::Work> Passwords::take_next() {
  while (!turns_.empty()) {
    const std::string name = std::move(turns_.front());
    turns_.pop_front();
    const auto place = queues_.find(name);
    CHECK(place != queues_.end() && !place->second.empty(), "who has a turn has work");
    Work work = std::move(place->second.front());
    place->second.pop_front();
    --waiting_;
    if (place->second.empty()) {
      queues_.erase(place);
    } else {
      turns_.push_back(name);
    }
    if (work.wanted()) return work;
  }
  return std::nullopt;
}

void Passwords::start_next() {
  if (running_) return;
  running_ = take_next();
  if (!running_) return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->order = Order{running_->password, running_->hash};
  }
  shared_->changed.notify_one();
  if (shared_->thread.joinable()) return;
  // The thread's own share keeps what it uses; the executor outlives us, and we wait for it.
  shared_->thread = std::thread([shared = shared_.get(), keeper = std::weak_ptr<Shared>(shared_),
                                 &executor = executor_, cost = cost_] {
    while (true) {
      std::unique_lock lock(shared->mutex);
      shared->changed.wait(lock, [shared] { return shared->stopped || shared->order; });
      if (shared->stopped) return;
      const Order order = *std::exchange(shared->order, std::nullopt);
      lock.unlock();
      executor.post([keeper, result = carry_out(order, cost)] {
        const std::shared_ptr<Shared> kept = keeper.lock();
        if (kept != nullptr && kept->owner != nullptr) kept->owner->on_result(result);
      });
    }
  });
}

void Passwords::on_result(std::optional<std::string> result) {
  CHECK(running_, "a result belongs to work");
  const Work work = std::move(*std::exchange(running_, std::nullopt));
  start_next();
  work.done(std::move(result));
}

}  // namespace quorate::front::etcd
