// app/etcdctl/keeper.h: keeps one lease alive over a stream, at any endpoint.
//
// A third of the time to live passes between renewals, as etcd's clients do it: two may get lost.
// When a stream ends another one is opened elsewhere, until the lease must have ended.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "app/etcdctl/message.h"
#include "app/session.h"

namespace quorate::app::etcdctl {

class Keeper {
 public:
  Keeper(Session& session, int64_t lease) : session_(session), lease_(lease) {}

  void renew_now() { next_ = Clock::now(); }
  // The time to live that is known from elsewhere (a grant), in seconds.
  void granted(int64_t seconds);

  struct News {
    std::optional<Message> answer;       // of the server; a TTL of 0 or less: the lease is gone
    std::optional<std::string> problem;  // nobody could renew it for as long as it may live
  };
  // Renews what is due until there is news, one of `others` can be read, or `patience` is over.
  News wait(Duration patience, std::span<const int> others);
  // When wait() wants to be called again at the latest.
  std::chrono::steady_clock::time_point due() const { return next_; }

 private:
  using Clock = std::chrono::steady_clock;
  bool send(std::string& why);
  void leave();

  Session& session_;
  int64_t lease_;
  std::unique_ptr<Stream> stream_;
  bool waiting_ = false;  // for an answer
  Clock::time_point next_ = Clock::time_point::max();
  Clock::time_point ends_ = Clock::time_point::max();  // nobody renewed: it is over
};

// An id in hex as etcdctl reads it.
std::optional<int64_t> lease_id_of(const std::string& text);
std::string base64_json(const std::string& bytes);

}  // namespace quorate::app::etcdctl
