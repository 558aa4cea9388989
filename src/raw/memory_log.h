// raw/memory_log.h: a log that forgets everything with the process: what is left when disks are
// free. It keeps every entry until its prefix is given back, as a real one has to.
#pragma once

#include <deque>

#include "raw/entry_log.h"

namespace quorate::raw {

class MemoryLog final : public EntryLog {
 public:
  void append(consensus::Write write) override;
  void flush() override { durable_ = appended_; }
  WriteId durable() const override { return durable_; }
  void read(consensus::IndexRange range, Read done) override;
  LogTotals totals() const override { return {}; }
  size_t size() const { return entries_.size(); }

 private:
  void put(consensus::Entry entry);

  // Entry `first_ + i` is entries_[i]; one of index 0 is a hole (Paxos may leave some).
  std::deque<consensus::Entry> entries_;
  Index first_{1};
  WriteId appended_;
  WriteId durable_;
};

}  // namespace quorate::raw
