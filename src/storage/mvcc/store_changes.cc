// What has changed since a revision: the store as a sequence of changes.
#include <algorithm>

#include "base/check.h"
#include "storage/mvcc/store.h"

namespace quorate::storage::mvcc {

int64_t Store::changes_complete_from() const {
  return std::min(recent_.first(), std::max<int64_t>(compacted_, 1));
}

void Store::changes(int64_t first, const ChangeVisitor& visit) const {
  CHECK(changes_ == 0, "changes are read between transactions");
  bool more = true;
  if (first >= recent_.first()) {
    more = recent_.visit(first, visit);
  } else {
    std::string start(1, kRowTable);
    append_row_key({{first, 0}, false}, start);
    const auto visit_row = [&](std::string_view key, std::string_view record) {
      key.remove_prefix(1);
      const std::optional<RowKey> decoded = decode_row_key(key);
      if (!decoded) stop_unreadable("A row of the row store has no valid key. Replace the member.");
      more = visit(make_change(decoded->revision, decoded->tombstone, record));
      return more;
    };
    const Result<void> scanned =
        rows_.scan(start, std::string(1, static_cast<char>(kRowTable + 1)), visit_row);
    if (!scanned) stop_unreadable(scanned.error().text);
  }
  auto row = std::ranges::lower_bound(pending_, Revision{first, 0}, {}, &PendingRow::revision);
  for (; more && row != pending_.end(); ++row) {
    const WriteBatch::Operation& operation = batch_.operations()[row->operation];
    more = visit(make_change(row->revision, batch_.key(operation).back() == 't', operation.value));
  }
}

std::optional<std::string_view> Store::record_at(std::string_view key, int64_t revision,
                                                 std::string& scratch) const {
  CHECK(readable(revision) == Readable::yes, "callers ask readable() first");
  const Item* item = index_.find(key);
  if (item == nullptr) return std::nullopt;
  const std::optional<Version> version = version_at(*item, revision);
  if (!version || version->tombstone) return std::nullopt;
  return record_of(*item, *version, true, scratch);
}

}  // namespace quorate::storage::mvcc
