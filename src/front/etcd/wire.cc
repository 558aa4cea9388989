#include "front/etcd/wire.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::front::etcd {
namespace {

constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kDelimited = 2;
constexpr uint32_t kFixed32 = 5;

void write_tag(uint32_t field, uint32_t type, std::string& out) {
  write_varint(uint64_t{field} << 3U | type, out);
}

std::optional<uint64_t> read_varint(std::string_view& input) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !input.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

bool skip(size_t bytes, std::string_view& input) {
  if (input.size() < bytes) return false;
  input.remove_prefix(bytes);
  return true;
}

// Reads one field's value, whatever its type; false when malformed.
bool read_value(uint32_t type, std::string_view& input, FieldValue& value) {
  if (type == kFixed64) return skip(8, input);
  if (type == kFixed32) return skip(4, input);
  if (type != kVarint && type != kDelimited) return false;
  const auto number = read_varint(input);
  if (!number) return false;
  value.number = *number;
  if (type == kVarint) return true;
  if (*number > input.size()) return false;
  value.text = input.substr(0, *number);
  return skip(*number, input);
}

}  // namespace

void write_varint(uint64_t value, std::string& out) { protobuf::write_varint(value, out); }

void write_number(uint32_t field, uint64_t value, std::string& out) {
  if (value == 0) return;
  write_tag(field, kVarint, out);
  write_varint(value, out);
}

void write_element(uint32_t field, std::string_view value, std::string& out) {
  write_tag(field, kDelimited, out);
  write_varint(value.size(), out);
  out.append(value);
}

void write_text(uint32_t field, std::string_view value, std::string& out) {
  if (!value.empty()) write_element(field, value, out);
}

void write_flag(uint32_t field, bool value, std::string& out) {
  write_number(field, value ? 1 : 0, out);
}

std::optional<FieldValue> read_field(std::string_view message, uint32_t field) {
  FieldValue found;
  while (!message.empty()) {
    const auto tag = read_varint(message);
    if (!tag || *tag >> 3U == 0) return std::nullopt;
    FieldValue value;
    if (!read_value(static_cast<uint32_t>(*tag & 7U), message, value)) return std::nullopt;
    if (*tag >> 3U == field) found = value;
  }
  return found;
}

bool next_field(std::string_view& message, uint32_t& field, FieldValue& value) {
  const auto tag = read_varint(message);
  value = {};
  if (!tag || *tag >> 3U == 0 || *tag >> 3U > UINT32_MAX) return false;
  field = static_cast<uint32_t>(*tag >> 3U);
  return read_value(static_cast<uint32_t>(*tag & 7U), message, value);
}

HeaderWriter::HeaderWriter(uint64_t cluster_id, uint64_t member_id) {
  write_number(1, cluster_id, constant_part_);
  write_number(2, member_id, constant_part_);
}

void HeaderWriter::write(int64_t revision, uint64_t raft_term, std::string& out) const {
  // At most 44 bytes inside, so that its length is a single byte, filled in afterwards.
  out.push_back('\x0a');
  const size_t length_position = out.size();
  out.push_back('\0');
  out.append(constant_part_);
  write_number(3, static_cast<uint64_t>(revision), out);
  write_number(4, raft_term, out);
  out[length_position] = static_cast<char>(out.size() - length_position - 1);
}

}  // namespace quorate::front::etcd
