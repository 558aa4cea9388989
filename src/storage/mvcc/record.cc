#include "storage/mvcc/record.h"

#include "base/check.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::storage::mvcc {

using protobuf::bytes_field;
using protobuf::varint_field;

std::optional<Record> decode_record(std::string_view bytes) {
  Record record;
  protobuf::Reader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        record.key = reader.bytes();
        break;
      case varint_field(2):
        record.create_revision = reader.signed_number();
        break;
      case varint_field(3):
        record.mod_revision = reader.signed_number();
        break;
      case varint_field(4):
        record.version = reader.signed_number();
        break;
      case bytes_field(5):
        record.value = reader.bytes();
        break;
      case varint_field(6):
        record.lease = reader.signed_number();
        break;
      default:
        break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return record;
}

void encode_record(const Record& record, std::string& out) {
  // This runs at every member for each put: into the place where it stays, at once.
  const size_t before = out.size();
  const size_t size = before + encoded_size(record);
  // What the library hands over may be room for more.
  out.resize_and_overwrite(size, [&](char* text, size_t /*room*/) {
    char* end = text + before;
    end = protobuf::put_bytes(1, record.key, end);
    end = protobuf::put_number(2, record.create_revision, end);
    end = protobuf::put_number(3, record.mod_revision, end);
    end = protobuf::put_number(4, record.version, end);
    end = protobuf::put_bytes(5, record.value, end);
    end = protobuf::put_number(6, record.lease, end);
    CHECK(end == text + size, "a record is as long as it was said to be");
    return size;
  });
}

size_t encoded_size(const Record& record) {
  return protobuf::bytes_size(1, record.key.size()) +
         protobuf::number_size(2, record.create_revision) +
         protobuf::number_size(3, record.mod_revision) + protobuf::number_size(4, record.version) +
         protobuf::bytes_size(5, record.value.size()) + protobuf::number_size(6, record.lease);
}

}  // namespace quorate::storage::mvcc
