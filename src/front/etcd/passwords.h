// front/etcd/passwords.h: passwords are hashed and compared by bcrypt, which is slow on purpose: a
// twentieth of a second each, so it is done by a thread of its own, one after the other.
//
// Names take turns and each may have a few waiting, so that whoever tries wrong passwords by the
// thousand keeps no other name from being let in, and no other call from being answered. The thread
// is started by the first password there is.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "world/executor.h"

namespace quorate::front::etcd {

// A twentieth of a second each: who comes last waits as long as a client would.
inline constexpr size_t kPasswordsOfNameMax = 32;
// With that many names at once all would wait for too long; the memory is small.
inline constexpr size_t kPasswordsWaitingMax = 1024;
// bcrypt sees no more of a password; what it would not see is refused where one is chosen.
inline constexpr size_t kPasswordBytesMax = 72;

// Whether a new password is one that is compared whole.
bool is_good_password(std::string_view password);

class Passwords {
 public:
  struct Work {
    std::string password;
    std::string hash;              // to compare with; empty: make one
    std::function<bool()> wanted;  // whether anybody still waits for it
    // With the hash that was made, or that was compared with; nullopt: the password is wrong.
    std::function<void(std::optional<std::string>)> done;
  };

  Passwords(world::Executor& executor, uint32_t cost);
  ~Passwords();
  Passwords(const Passwords&) = delete;
  Passwords& operator=(const Passwords&) = delete;

  // False: too many wait. `done` comes later, on the executor, unless nobody wants it any more.
  bool add(const std::string& name, Work work);
  size_t waiting() const { return waiting_; }

 private:
  struct Shared;  // with the thread

  void start_next();
  std::optional<Work> take_next();
  void on_result(std::optional<std::string> result);

  world::Executor& executor_;
  const uint32_t cost_;
  std::shared_ptr<Shared> shared_;
  std::map<std::string, std::deque<Work>> queues_;
  std::deque<std::string> turns_;  // names with something waiting, each once
  size_t waiting_ = 0;
  std::optional<Work> running_;
};

}  // namespace quorate::front::etcd
