// storage/mvcc/revisions_row.h: what a Store keeps beside its rows, as bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace quorate::storage::mvcc {

inline constexpr std::string_view kRevisionsKey = "mrevisions";

struct StoredRevisions {
  int64_t current = 1;
  int64_t compacted = -1;   // never
  bool compacting = false;  // rows that nobody can read any more may still be there
};

std::string encode_revisions(const StoredRevisions& revisions);
Result<StoredRevisions> decode_revisions(std::string_view text);

}  // namespace quorate::storage::mvcc
