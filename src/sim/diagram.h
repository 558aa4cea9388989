// sim/diagram.h: a run as a space-time diagram (Lamport, 1978): one line for each node, time
// downwards, messages as arrows. One HTML file that needs nothing else.
//
// The colour of a node's line is its term, the width its role. Time is not to scale: long pauses
// take little room.
#pragma once

#include <string>
#include <vector>

#include "sim/observer.h"

namespace quorate::sim {

class Diagram final : public Observer {
 public:
  void saw(const Happening& happening) override;
  // `text` stands above the picture, line by line: what broke, and how to play it again.
  std::string html(const std::string& title, const std::string& text, uint64_t nodes) const;
  size_t left_out() const { return left_out_; }

 private:
  std::vector<Happening> happenings_;
  size_t left_out_ = 0;  // the picture is bounded; the newest are kept
};

}  // namespace quorate::sim
