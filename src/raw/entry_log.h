// raw/entry_log.h: where a replica's writes go: memory, or the production log on a disk.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "consensus/replicated_log.h"

namespace quorate::raw {

struct LogTotals {
  uint64_t syncs = 0;
  uint64_t bytes = 0;
};

class EntryLog {
 public:
  using Read = std::move_only_function<void(Result<std::vector<consensus::Entry>>)>;
  virtual ~EntryLog() = default;
  // Nothing is durable before flush().
  virtual void append(consensus::Write write) = 0;
  virtual void flush() = 0;
  // All writes up to this one are durable.
  virtual WriteId durable() const = 0;
  virtual void read(consensus::IndexRange range, Read done) = 0;
  virtual LogTotals totals() const = 0;
};

}  // namespace quorate::raw
