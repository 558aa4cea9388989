// world/real/inquirer.h: asks a node whose member one may not be who belongs to its cluster.
//
// One connection for each question, closed with the answer (docs/formats/wire.md). Bounded in
// time and size; what comes back is checked for damage, not for truth.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "world/real/event_loop.h"
#include "world/secure.h"

namespace quorate::world {

// From the question to the whole answer, looking up a name included.
inline constexpr Duration kInquiryTimeout = std::chrono::seconds(2);

class Inquirer {
 public:
  using Done = std::function<void(Result<Bytes>)>;

  // `security`: for addresses that begin with https://; null: they cannot be asked.
  explicit Inquirer(EventLoop& loop, Security* security = nullptr)
      : loop_(loop), security_(security) {}
  Inquirer(const Inquirer&) = delete;
  Inquirer& operator=(const Inquirer&) = delete;
  ~Inquirer();
  // host:port. `done` is called once, in a task of its own, unless this is destroyed first; an
  // error is a sentence.
  void ask(const std::string& address, Done done);

 private:
  class Attempt;

  EventLoop& loop_;
  Security* security_;
  std::set<std::shared_ptr<Attempt>> attempts_;
};

}  // namespace quorate::world
