// load/zookeeper_session.h: one socket with a session of ZooKeeper's on it, requests pipelined.
//
// Replies come in the order of the requests, and each says which one it answers; a reply for
// another one than the oldest breaks that promise, and ends the session.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/result.h"
#include "load/zookeeper_wire.h"

namespace quorate::load::zookeeper {

class Receiver {
 public:
  // The reply to the oldest request, whose tag it was.
  virtual void on_reply(uint32_t tag, const Reply& reply) = 0;
  // The session is over; this request has no reply, and nobody knows whether it was done.
  virtual void on_lost(uint32_t tag) = 0;

 protected:
  ~Receiver() = default;
};

class Session {
 public:
  explicit Session(std::string endpoint) : endpoint_(std::move(endpoint)) {}
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Connects and asks for a session; returns when the server has granted it.
  Result<void> open(Duration patience);
  bool is_open() const { return socket_ >= 0; }
  int descriptor() const { return socket_; }

  void get(uint32_t tag, std::string_view path);
  void set(uint32_t tag, std::string_view path, std::string_view data);
  void create(uint32_t tag, std::string_view path, std::string_view data);
  size_t under_way() const { return waiting_.size(); }

  // Both end the session when it is broken; then problem() says why.
  void flush(Receiver& receiver);
  void read(Receiver& receiver);
  bool blocked() const { return is_open() && written_ < output_.size(); }
  const std::string& problem() const { return problem_; }

 private:
  struct Waiting {
    int32_t number = 0;
    uint32_t tag = 0;
  };
  int32_t expect(uint32_t tag);
  bool write();
  bool take_bytes();  // false: the session is over
  void lose(std::string why, Receiver& receiver);

  std::string endpoint_;
  int socket_ = -1;
  int32_t next_ = 0;
  std::deque<Waiting> waiting_;
  std::string output_;
  size_t written_ = 0;
  std::string input_;
  std::string problem_;
};

}  // namespace quorate::load::zookeeper
