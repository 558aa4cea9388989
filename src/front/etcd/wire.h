// front/etcd/wire.h: protobuf for the few small messages which are not on the hot path.
//
// Writers follow the rule that a field with its default value is not written. The reader is for
// requests of one level with one field of interest; it takes hostile bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::front::etcd {

void write_varint(uint64_t value, std::string& out);
void write_number(uint32_t field, uint64_t value, std::string& out);
void write_text(uint32_t field, std::string_view value, std::string& out);     // empty: left out
void write_element(uint32_t field, std::string_view value, std::string& out);  // of a repeated one
void write_flag(uint32_t field, bool value, std::string& out);

// The last varint or text field of that number; nullopt when the message is malformed.
struct FieldValue {
  uint64_t number = 0;
  std::string_view text;
};
std::optional<FieldValue> read_field(std::string_view message, uint32_t field);
// Takes the first field of `message` off its front; false: there is none, or it is malformed.
bool next_field(std::string_view& message, uint32_t& field, FieldValue& value);

// ResponseHeader as field 1 of a response: cluster and member stay the same for a server's life.
class HeaderWriter {
 public:
  HeaderWriter(uint64_t cluster_id, uint64_t member_id);
  void write(int64_t revision, uint64_t raft_term, std::string& out) const;

 private:
  std::string constant_part_;
};

}  // namespace quorate::front::etcd
