// sim/story.h: a run told in few lines: what was done, and whose role, term or log changed.
//
// The story of a scenario is its expected trace (tests/scenarios/*.trace): it must not tell more
// than a reader can check by hand against the paper.
#pragma once

#include <string>
#include <vector>

#include "sim/cluster.h"
#include "sim/script.h"

namespace quorate::sim {

class Story {
 public:
  explicit Story(StoryDetail detail) : detail_(detail) {}
  void tell(int64_t time, const std::string& line);
  void tell_changes(const Cluster& cluster);  // of nodes, since the last call
  const std::string& text() const { return text_; }

 private:
  StoryDetail detail_;
  std::vector<std::string> shown_;  // by node
  std::string text_;
};

// "n1 leader term 2", and with logs "... committed 3, log 1 2 2": the term of each entry.
std::string describe_node(const Cluster& cluster, uint64_t node, bool with_log);
// The terms of a node's log behind its snapshot, as if all its writes were durable; runs longer
// than `short_runs` allows are written 2*7: seven entries of term 2.
std::string log_terms(const SimNode& node, bool short_runs);

}  // namespace quorate::sim
