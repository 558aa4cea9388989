// node/log_trim.h: when the log's prefix is given back, and when the store must be flushed for it.
//
// Invariant: never answers an index beyond what the store has durably, nor beyond a pin.
#pragma once

#include <deque>
#include <optional>
#include <utility>

#include "base/types.h"

namespace quorate::node {

class LogTrim {
 public:
  LogTrim(uint64_t snapshot_count, uint64_t catch_up_entries);

  void on_applied(Index index, uint64_t bytes);
  // Cheap; when true, ask decide(). `first`: oldest entry of the log.
  bool is_due(Index first, Index applied) const;

  struct Decision {
    bool flush = false;          // the store lags: make it durable
    std::optional<Index> index;  // the log may be dropped up to here
  };
  // `pin`: entries behind it must stay (a snapshot of that index is on its way).
  Decision decide(Index first, Index applied, Index durable, std::optional<Index> pin);

 private:
  Index wanted(Index applied) const;

  uint64_t snapshot_count_;
  uint64_t catch_up_entries_;
  uint64_t bytes_ = 0;
  uint64_t bytes_at_trim_ = 0;
  Index flushed_at_;
  Index looked_at_;
  uint64_t bytes_looked_at_ = 0;
  std::deque<std::pair<Index, uint64_t>> samples_;  // index, payload applied up to it
};

}  // namespace quorate::node
