#include "storage/mvcc/protobuf.h"

namespace quorate::protobuf {

namespace {

// Unknown groups (a wire form long out of use) may nest; the stack of a decoder is not the
// sender's to spend.
constexpr int kGroupDepthMax = 32;
constexpr uint64_t kFieldMax = (uint64_t{1} << 32U) - 1;  // 29 bits of number, 3 of wire type

enum WireType : unsigned { kVarint, kFixed64, kBytes, kGroupStart, kGroupEnd, kFixed32 };

}  // namespace

bool Reader::malformed() {
  ok_ = false;
  input_ = {};
  return false;
}

bool Reader::read_long_varint(uint64_t& value) {
  value = 0;
  for (unsigned i = 0; i < 10; ++i) {
    if (i >= input_.size()) return malformed();
    const auto byte = static_cast<uint8_t>(input_[i]);
    if (i == 9 && byte > 1) return malformed();  // more than 64 bits
    value |= uint64_t{byte & 0x7fU} << (7U * i);
    if (byte < 0x80) {
      input_.remove_prefix(i + 1);
      return true;
    }
  }
  return malformed();
}

inline bool Reader::read_bytes() {
  uint64_t size = 0;
  if (!read_varint(size)) return false;
  if (size > input_.size()) return malformed();
  bytes_ = input_.substr(0, static_cast<size_t>(size));
  input_.remove_prefix(static_cast<size_t>(size));
  return true;
}

bool Reader::skip(size_t size) {
  if (size > input_.size()) return malformed();
  input_.remove_prefix(size);
  return true;
}

bool Reader::read_value(unsigned wire_type, int depth) {
  switch (wire_type) {
    case kVarint:
      return read_varint(number_);
    case kFixed64:
      return skip(8);
    case kBytes:
      return read_bytes();
    case kGroupStart:
      return skip_group(field_, depth);
    case kFixed32:
      return skip(4);
    default:
      return malformed();  // an end without a beginning, or no wire type at all
  }
}

bool Reader::skip_group(uint64_t start, int depth) {
  if (depth >= kGroupDepthMax) return malformed();
  const uint64_t end = start + (kGroupEnd - kGroupStart);
  while (true) {
    if (!read_varint(field_)) return false;
    if (field_ > kFieldMax || field_ < 8) return malformed();
    if (field_ == end) break;
    if (!read_value(static_cast<unsigned>(field_ & 7U), depth + 1)) return false;
  }
  field_ = start;
  return true;
}

bool Reader::next() {
  if (input_.empty()) return false;
  if (!read_varint(field_)) return false;
  if (field_ > kFieldMax || field_ < 8) return malformed();
  const auto wire_type = static_cast<unsigned>(field_ & 7U);
  if (wire_type == kVarint) return read_varint(number_);
  if (wire_type == kBytes) return read_bytes();
  return read_value(wire_type, 0);
}

}  // namespace quorate::protobuf
