// app/etcdctl/message.h: an answer of the API as fields with names.
//
// The client shows answers and decides little: one reader over a table of shapes does for all of
// them what a struct and a decoder each would do. Owns its bytes; hostile input gives nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::app::etcdctl {

enum class Kind : uint8_t { flag, number, integer, text, bytes, message };

struct Shape;
struct Field {
  std::string_view name;  // in etcdctl's JSON
  uint32_t number = 0;
  Kind kind = Kind::number;
  bool repeated = false;
  const Shape* inner = nullptr;  // of kind message
};
struct Shape {
  std::span<const Field> fields;
  std::string_view one_of{};  // not empty: at most one field is there, and JSON nests it in this
};

class Message {
 public:
  static std::optional<Message> decode(const Shape& shape, std::string_view wire);

  // A field that the shape lacks is a bug of the caller. Absent fields are zero or empty.
  bool flag(std::string_view name) const { return number(name) != 0; }
  uint64_t number(std::string_view name) const { return value(name).number; }
  int64_t integer(std::string_view name) const { return static_cast<int64_t>(number(name)); }
  const std::string& text(std::string_view name) const;
  const std::vector<std::string>& texts(std::string_view name) const { return value(name).texts; }
  const std::vector<Message>& messages(std::string_view name) const { return value(name).messages; }
  const Message* message(std::string_view name) const;  // null: absent
  // As Go's encoding/json writes the generated structs: in order, without zeros.
  std::string json() const;
  std::string json_fields() const;  // without the braces

 private:
  struct Value {
    uint64_t number = 0;
    std::vector<std::string> texts;
    std::vector<Message> messages;
  };
  explicit Message(const Shape& shape) : shape_(&shape), values_(shape.fields.size()) {}
  const Value& value(std::string_view name) const;
  bool take(const Field& field, Value& value, uint64_t key, uint64_t number,
            std::string_view bytes);

  const Shape* shape_;
  std::vector<Value> values_;
};

}  // namespace quorate::app::etcdctl
