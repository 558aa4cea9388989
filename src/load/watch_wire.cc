#include "load/watch_wire.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

using protobuf::bytes_field;
using protobuf::varint_field;

// One field after the other. These messages have numbers and bytes alone; any other form on the
// wire is none of theirs.
class Fields {
 public:
  explicit Fields(std::string_view message)
      : at_(message.data()), end_(message.data() + message.size()) {}

  // False: at the end, or malformed, and then good() is false.
  bool next() {
    if (at_ == end_ || !read(field_)) return false;
    if ((field_ & 7U) == 0) return read(number_);
    uint64_t size = 0;
    if ((field_ & 7U) != 2) return good_ = false;
    if (!read(size)) return false;
    if (size > static_cast<uint64_t>(end_ - at_)) return good_ = false;
    bytes_ = std::string_view(at_, static_cast<size_t>(size));
    at_ += size;
    return true;
  }
  bool good() const { return good_; }
  uint64_t field() const { return field_; }
  uint64_t number() const { return number_; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool read(uint64_t& value) {
    if (at_ == end_) return good_ = false;
    auto byte = static_cast<uint8_t>(*at_++);
    value = byte & 0x7fU;
    for (unsigned shift = 7; byte >= 0x80; shift += 7) {
      if (at_ == end_ || shift > 63) return good_ = false;
      byte = static_cast<uint8_t>(*at_++);
      value |= uint64_t{byte & 0x7fU} << shift;
    }
    return true;
  }

  const char* at_;
  const char* end_;
  uint64_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
  bool good_ = true;
};

bool decode_row(std::string_view row, WatchedEvent& event) {
  Fields fields(row);
  while (fields.next()) {
    if (fields.field() == varint_field(3)) event.revision = static_cast<int64_t>(fields.number());
    if (fields.field() == bytes_field(5)) event.value = fields.bytes();
  }
  return fields.good();
}

bool decode_event(std::string_view bytes, WatchedEvent& event) {
  Fields fields(bytes);
  while (fields.next()) {
    if (fields.field() == bytes_field(2) && !decode_row(fields.bytes(), event)) return false;
  }
  return fields.good();
}

}  // namespace

bool decode_watched(std::string_view message, WatchedResponse& response) {
  response.watcher = 0;
  response.created = response.canceled = false;
  response.reason = {};
  response.events.clear();
  Fields fields(message);
  while (fields.next()) {
    switch (fields.field()) {
      case bytes_field(11):
        if (!decode_event(fields.bytes(), response.events.emplace_back())) return false;
        break;
      case varint_field(2):
        response.watcher = fields.number();
        break;
      case varint_field(3):
        response.created = fields.number() != 0;
        break;
      case varint_field(4):
        response.canceled = fields.number() != 0;
        break;
      case bytes_field(6):
        response.reason = fields.bytes();
        break;
      default:
        break;
    }
  }
  return fields.good();
}

}  // namespace quorate::load
