#include "raw/memory_log.h"

#include <utility>

#include "base/check.h"

namespace quorate::raw {

void MemoryLog::append(consensus::Write write) {
  CHECK(write.id > appended_, "write ids grow");
  CHECK(!write.install && write.repairs.empty(), "nobody here falls behind or loses its disk");
  if (write.truncate_from && *write.truncate_from < first_ + entries_.size()) {
    CHECK(*write.truncate_from >= first_, "what was given back is decided");
    entries_.resize(*write.truncate_from - first_);
  }
  if (write.snapshot) {
    while (first_ <= write.snapshot->index) {
      if (!entries_.empty()) entries_.pop_front();
      ++first_;
    }
  }
  for (consensus::Entry& entry : write.entries) put(std::move(entry));
  appended_ = write.id;
}

void MemoryLog::put(consensus::Entry entry) {
  CHECK(entry.index >= first_, "an entry is put behind what was given back");
  const size_t place = entry.index - first_;
  if (place >= entries_.size()) entries_.resize(place + 1);
  entries_[place] = std::move(entry);
}

void MemoryLog::read(consensus::IndexRange range, Read done) {
  std::vector<consensus::Entry> found;
  for (Index index = range.first; index <= range.last; ++index) {
    if (index < first_ || index - first_ >= entries_.size()) break;
    const consensus::Entry& entry = entries_[index - first_];
    if (!entry.index) break;
    found.push_back(entry);
  }
  done(std::move(found));
}

}  // namespace quorate::raw
