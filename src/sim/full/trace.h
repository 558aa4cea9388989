// sim/full/trace.h: one line for each thing that happens, for people who replay a seed.
#pragma once

#include <functional>
#include <string>

#include "base/types.h"

namespace quorate::sim::full {

class Trace {
 public:
  using Sink = std::function<void(const std::string& line)>;
  Trace() = default;
  explicit Trace(Sink sink) : sink_(std::move(sink)) {}
  bool on() const { return sink_ != nullptr; }
  // `words()` is asked for only when somebody listens.
  template <class Words>
  void say(Time now, NodeId node, Words words) const {
    if (on()) write(now, node, words());
  }

 private:
  void write(Time now, NodeId node, const std::string& text) const;
  Sink sink_;
};

}  // namespace quorate::sim::full
