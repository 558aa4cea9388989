#include "storage/mvcc/recent_changes.h"

#include <algorithm>

#include "base/check.h"
#include "storage/mvcc/record.h"

namespace quorate::storage::mvcc {

Change make_change(const Revision& revision, bool tombstone, std::string_view record) {
  const std::optional<Record> decoded = decode_record(record);
  CHECK(decoded, "a row holds what this store encoded or read and checked");
  return {revision, tombstone, decoded->key, record};
}

void RecentChanges::start(int64_t first) {
  rows_.clear();
  bytes_ = 0;
  first_ = first;
}

void RecentChanges::add(const Revision& revision, bool tombstone, std::string record) {
  CHECK(rows_.empty() || rows_.back().revision < revision, "changes come in the order of time");
  CHECK(revision.main >= first_, "a change is never older than what is complete");
  bytes_ += record.size();
  rows_.push_back({revision, tombstone, std::move(record)});
  while (rows_.size() > kRecentChangesMax || bytes_ > kRecentBytesMax) drop_oldest();
}

void RecentChanges::drop_oldest() {
  bytes_ -= rows_.front().record.size();
  first_ = rows_.front().revision.main + 1;  // the rest of its revision is of no use any more
  rows_.pop_front();
}

bool RecentChanges::visit(int64_t first, const ChangeVisitor& visit) const {
  CHECK(first >= first_, "callers ask first()");
  auto row = std::ranges::lower_bound(rows_, Revision{first, 0}, {}, &Row::revision);
  for (; row != rows_.end(); ++row) {
    if (!visit(make_change(row->revision, row->tombstone, row->record))) return false;
  }
  return true;
}

}  // namespace quorate::storage::mvcc
