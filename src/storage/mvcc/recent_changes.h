// storage/mvcc/recent_changes.h: the newest rows once more, in memory, in the order of time.
//
// Whoever follows the store a step behind finds here what has just been written, without a look
// into the rows below and whatever a compaction has removed from them meanwhile. The strings are
// those of the written batch, so keeping them costs no copy. Invariant: holds every change from
// first() on, whole revisions only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "storage/mvcc/revision.h"

namespace quorate::storage::mvcc {

// Twice what one turn applies (node/limits.h: 1024 entries, 2 MiB): a follower that looks once a
// turn finds all of it here. More would only take memory: who is further behind reads rows.
inline constexpr size_t kRecentChangesMax = 8192;
inline constexpr size_t kRecentBytesMax = size_t{4} << 20U;

struct Change {
  Revision revision;
  bool tombstone = false;
  std::string_view key;
  std::string_view record;  // a tombstone's holds the key alone
};
// Views are valid until the visitor returns; false: no more.
using ChangeVisitor = std::function<bool(const Change&)>;

class RecentChanges {
 public:
  // Nothing is held, and what comes next is of revision `first` or later.
  void start(int64_t first);
  void add(const Revision& revision, bool tombstone, std::string record);
  int64_t first() const { return first_; }
  // False: the visitor had enough.
  bool visit(int64_t first, const ChangeVisitor& visit) const;

 private:
  struct Row {
    Revision revision;
    bool tombstone = false;
    std::string record;
  };
  void drop_oldest();

  std::deque<Row> rows_;
  size_t bytes_ = 0;
  int64_t first_ = 0;
};

// What a visitor gets for one row.
Change make_change(const Revision& revision, bool tombstone, std::string_view record);

}  // namespace quorate::storage::mvcc
