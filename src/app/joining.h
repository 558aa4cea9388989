// app/joining.h: how a machine that was added to a running cluster learns who it is there.
//
// It asks the members named on the command line, one after the other, until one of them knows a
// member with this machine's peer URLs (docs/decisions/0015). Ends in bounded time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/introduction.h"
#include "world/real/event_loop.h"
#include "world/real/inquirer.h"

namespace quorate::app {

struct Joined {
  NodeId member;
  node::Introduction introduction;
};

class Joining {
 public:
  struct Self {
    std::string name;
    std::vector<std::string> peer_urls;
    GroupId group;
  };
  // An error is a sentence for the operator.
  using Done = std::function<void(Result<Joined>)>;

  // `contacts`: host:port of other members. `done` is called once, unless this is destroyed.
  // `security`: for contacts behind https://; may be null, else it outlives this.
  Joining(world::EventLoop& loop, world::Security* security, Self self,
          std::vector<std::string> contacts, Done done);
  Joining(const Joining&) = delete;
  Joining& operator=(const Joining&) = delete;
  ~Joining() { loop_.cancel(timer_); }
  void start();

 private:
  void ask_next();
  void heard(const std::string& address, const Result<Bytes>& answer);
  void finish(Result<Joined> outcome);
  bool out_of_patience();

  world::EventLoop& loop_;
  Self self_;
  std::vector<std::string> contacts_;
  Done done_;
  world::Inquirer inquirer_;
  size_t asked_ = 0;
  Time started_;
  Time reported_;
  Time refused_since_ = kNever;  // somebody answered, but knows no such member
  std::string last_problem_;
  world::TimerId timer_ = 0;
};

}  // namespace quorate::app
