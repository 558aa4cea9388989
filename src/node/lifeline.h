// node/lifeline.h: lets deferred work (timers, disk jobs, hooks) outlive the object it is about.
//
// A callback wrapped by guard() does nothing once the Lifeline is gone. Both live on one thread.
#pragma once

#include <memory>
#include <utility>

namespace quorate::node {

class Lifeline {
 public:
  template <class Callable>
  auto guard(Callable callable) const {
    return [life = std::weak_ptr<const char>(life_),
            callable = std::move(callable)]<class... Arguments>(Arguments&&... arguments) mutable {
      if (!life.expired()) callable(std::forward<Arguments>(arguments)...);
    };
  }

 private:
  std::shared_ptr<const char> life_ = std::make_shared<const char>('\0');
};

}  // namespace quorate::node
