#include "app/etcdctl/message.h"

#include "app/etcdctl/go_text.h"
#include "base/base64.h"
#include "base/check.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

bool is_varint(Kind kind) {
  return kind == Kind::flag || kind == Kind::number || kind == Kind::integer;
}

std::string scalar_json(Kind kind, const std::string& text) {
  if (kind == Kind::text) return json_text(text);
  std::string out = "\"";
  append_base64(text, out);
  return out + "\"";
}

std::string number_json(Kind kind, uint64_t number) {
  if (kind == Kind::flag) return "true";
  return kind == Kind::integer ? std::to_string(static_cast<int64_t>(number))
                               : std::to_string(number);
}

}  // namespace

bool Message::take(const Field& field, Value& value, uint64_t key, uint64_t number,
                   std::string_view bytes) {
  if (is_varint(field.kind)) {
    if (key == protobuf::varint_field(field.number)) value.number = number;
    return true;
  }
  if (key != protobuf::bytes_field(field.number)) return true;
  if (!field.repeated) {
    value.texts.clear();
    value.messages.clear();
  }
  if (field.kind != Kind::message) {
    value.texts.emplace_back(bytes);
    return true;
  }
  auto inner = decode(*field.inner, bytes);
  if (!inner) return false;
  value.messages.push_back(std::move(*inner));
  return true;
}

// Nesting is that of the shapes; only a transaction's answer holds itself, and the server bounds
// it. NOLINTNEXTLINE(misc-no-recursion)
std::optional<Message> Message::decode(const Shape& shape, std::string_view wire) {
  Message message(shape);
  protobuf::Reader reader(wire);
  while (reader.next()) {
    for (size_t at = 0; at < shape.fields.size(); ++at) {
      const Field& field = shape.fields[at];
      if (reader.field() >> 3U != field.number) continue;
      const bool varint = (reader.field() & 7U) == 0;
      if (!message.take(field, message.values_[at], reader.field(), varint ? reader.number() : 0,
                        varint ? std::string_view() : reader.bytes())) {
        return std::nullopt;
      }
    }
  }
  if (!reader.ok()) return std::nullopt;
  return message;
}

const Message::Value& Message::value(std::string_view name) const {
  for (size_t at = 0; at < shape_->fields.size(); ++at) {
    if (shape_->fields[at].name == name) return values_[at];
  }
  CHECK(false, "a field that its shape does not have");
  return values_.front();
}

const std::string& Message::text(std::string_view name) const {
  static const std::string none;
  const Value& found = value(name);
  return found.texts.empty() ? none : found.texts.front();
}

const Message* Message::message(std::string_view name) const {
  const Value& found = value(name);
  return found.messages.empty() ? nullptr : &found.messages.front();
}

// NOLINTNEXTLINE(misc-no-recursion)
std::string Message::json_fields() const {
  std::string out;
  for (size_t at = 0; at < values_.size(); ++at) {
    const Field& field = shape_->fields[at];
    const Value& value = values_[at];
    std::string items;
    size_t total = 0;
    if (is_varint(field.kind)) {
      total = value.number == 0 ? 0 : 1;
      items = number_json(field.kind, value.number);
    }
    for (const std::string& text : value.texts) {
      if (!field.repeated && text.empty()) continue;
      items += (total++ == 0 ? "" : ",") + scalar_json(field.kind, text);
    }
    for (const Message& inner : value.messages) items += (total++ == 0 ? "" : ",") + inner.json();
    if (total == 0) continue;
    if (!out.empty()) out += ",";
    out.append("\"").append(field.name).append("\":");
    out += field.repeated ? "[" + items + "]" : items;
  }
  return out;
}

// NOLINTNEXTLINE(misc-no-recursion)
std::string Message::json() const {
  if (shape_->one_of.empty()) return "{" + json_fields() + "}";
  return "{\"" + std::string(shape_->one_of) + "\":{" + json_fields() + "}}";
}

}  // namespace quorate::app::etcdctl
