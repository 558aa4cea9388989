// storage/mvcc/revision.h: when a version of a key was written, and the key of its row.
//
// `main` is the store's revision, one for each transaction that changed something; `sub` counts
// the changes within it. A row's key orders rows by time and has etcd's form: main and sub as
// eight big-endian bytes each, with '_' between, and 't' behind when the row marks a deletion.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::storage::mvcc {

struct Revision {
  int64_t main = 0;
  int64_t sub = 0;
  auto operator<=>(const Revision&) const = default;
};

struct RowKey {
  Revision revision;
  bool tombstone = false;
  bool operator==(const RowKey&) const = default;
};

void append_row_key(const RowKey& key, std::string& out);
std::optional<RowKey> decode_row_key(std::string_view bytes);

}  // namespace quorate::storage::mvcc
