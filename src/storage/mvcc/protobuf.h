// storage/mvcc/protobuf.h: the protobuf wire form, as far as rows and KV messages need it.
//
// A reader that borrows and a handful of writers, in place of a library: rows are etcd's own
// bytes and a put travels from the socket to the store without being encoded again
// (docs/decisions/0005). The reader trusts nothing: it never reads past its input, and a field
// with an unexpected wire type is skipped like an unknown one, as the protobuf rules say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/codec.h"

namespace quorate::protobuf {

// A field's number together with how it is written: what stands before every value.
constexpr uint64_t varint_field(uint32_t number) { return uint64_t{number} << 3U; }
constexpr uint64_t bytes_field(uint32_t number) { return (uint64_t{number} << 3U) | 2U; }

class Reader {
 public:
  explicit Reader(std::string_view input) : input_(input) {}
  // Steps to the next field. False at the end, and at the first malformed byte: then ok() is
  // false for good.
  bool next();
  bool ok() const { return ok_; }
  uint64_t field() const { return field_; }  // compare with varint_field(), bytes_field()
  uint64_t number() const { return number_; }
  int64_t signed_number() const { return static_cast<int64_t>(number_); }
  // Wider values are cut to the low bits, as for every 32-bit field and enum.
  int32_t int32() const { return static_cast<int32_t>(static_cast<uint32_t>(number_)); }
  bool boolean() const { return number_ != 0; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool malformed();
  bool read_varint(uint64_t& value) {
    // Field numbers, short lengths, small values.
    if (!input_.empty() && static_cast<uint8_t>(input_[0]) < 0x80) {
      value = static_cast<uint8_t>(input_[0]);
      input_.remove_prefix(1);
      return true;
    }
    return read_long_varint(value);
  }
  bool read_long_varint(uint64_t& value);
  bool read_bytes();
  bool skip(size_t size);
  bool read_value(unsigned wire_type, int depth);
  bool skip_group(uint64_t start, int depth);

  std::string_view input_;
  std::string_view bytes_;
  uint64_t field_ = 0;
  uint64_t number_ = 0;
  bool ok_ = true;
};

constexpr size_t varint_size(uint64_t value) {
  size_t size = 1;
  while (value >= 0x80) {
    value >>= 7U;
    ++size;
  }
  return size;
}
inline void write_varint(uint64_t value, std::string& out) {
  char buffer[kVarintBytesMax];
  // Not two pointers: of them the library makes a replacement, which takes longer.
  out.append(buffer, static_cast<size_t>(put_varint(value, buffer) - buffer));
}
// Fields at their default are not written; a negative number takes ten bytes.
inline void write_number(uint32_t field, int64_t value, std::string& out) {
  if (value == 0) return;
  write_varint(varint_field(field), out);
  write_varint(static_cast<uint64_t>(value), out);
}
// What stands before `size` bytes of a string or an embedded message.
inline void write_prefix(uint32_t field, size_t size, std::string& out) {
  char buffer[2 * kVarintBytesMax];
  const char* end = put_varint(size, put_varint(bytes_field(field), buffer));
  out.append(buffer, static_cast<size_t>(end - buffer));
}
// Written even when empty: an embedded message or a member of a oneof that is present.
inline void write_present(uint32_t field, std::string_view bytes, std::string& out) {
  write_prefix(field, bytes.size(), out);
  out.append(bytes);
}
inline void write_bytes(uint32_t field, std::string_view bytes, std::string& out) {
  if (!bytes.empty()) write_present(field, bytes, out);
}
// The same where there is room for it; each returns what is behind.
inline char* put_number(uint32_t field, int64_t value, char* place) {
  if (value == 0) return place;
  return put_varint(static_cast<uint64_t>(value), put_varint(varint_field(field), place));
}
inline char* put_bytes(uint32_t field, std::string_view bytes, char* place) {
  if (bytes.empty()) return place;
  place = put_varint(bytes.size(), put_varint(bytes_field(field), place));
  std::memcpy(place, bytes.data(), bytes.size());
  return place + bytes.size();
}
constexpr size_t number_size(uint32_t field, int64_t value) {
  return value == 0 ? 0
                    : varint_size(varint_field(field)) + varint_size(static_cast<uint64_t>(value));
}
constexpr size_t bytes_size(uint32_t field, size_t size) {
  return size == 0 ? 0 : varint_size(bytes_field(field)) + varint_size(size) + size;
}

}  // namespace quorate::protobuf
