// storage/mvcc/record.h: what a row holds: one version of one key, as a mvccpb.KeyValue.
//
// Views borrow from the bytes they were decoded from. A tombstone's row holds the key alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::storage::mvcc {

struct Record {
  std::string_view key;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  std::string_view value;
  int64_t lease = 0;
};

std::optional<Record> decode_record(std::string_view bytes);
void encode_record(const Record& record, std::string& out);
size_t encoded_size(const Record& record);

}  // namespace quorate::storage::mvcc
