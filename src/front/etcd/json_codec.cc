#include "front/etcd/json_codec.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/base64.h"
#include "front/etcd/wire.h"

namespace quorate::front::etcd {
namespace {

using Json = nlohmann::json;

bool same_name(std::string_view name, std::string_view given) {
  if (given == name) return true;
  size_t position = 0;
  bool raised = false;
  for (const char character : name) {
    if (character == '_') {
      raised = true;
      continue;
    }
    const bool lower = character >= 'a' && character <= 'z';
    const char wanted = raised && lower ? static_cast<char>(character - 32) : character;
    raised = false;
    if (position == given.size() || given[position] != wanted) return false;
    ++position;
  }
  return position == given.size();
}

// A number as its 64 bits; nullopt: it has no place in a field of that kind.
std::optional<uint64_t> bits_of(FieldKind kind, uint64_t number) {
  if (kind == FieldKind::int64 && number > INT64_MAX) return std::nullopt;
  if (kind == FieldKind::uint32 && number > UINT32_MAX) return std::nullopt;
  if (kind == FieldKind::enumeration && number > INT32_MAX) return std::nullopt;
  return number;
}
std::optional<uint64_t> bits_of(FieldKind kind, int64_t number) {
  if (number >= 0) return bits_of(kind, static_cast<uint64_t>(number));
  if (kind == FieldKind::uint64 || kind == FieldKind::uint32) return std::nullopt;
  if (kind == FieldKind::enumeration && number < INT32_MIN) return std::nullopt;
  return static_cast<uint64_t>(number);
}

template <class Number>
std::optional<uint64_t> parse_number(FieldKind kind, std::string_view text) {
  Number number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return bits_of(kind, number);
}

bool is_number(FieldKind kind) {
  return kind == FieldKind::int64 || kind == FieldKind::uint64 || kind == FieldKind::uint32;
}

class Reader final : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(MessageId root) : root_(root) {}

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(int64_t value) override;
  bool number_unsigned(uint64_t value) override;
  bool number_float(double value, const std::string& text) override;
  bool string(std::string& value) override;
  bool binary(Json::binary_t&) override { return refuse("binary is not JSON"); }
  bool start_object(size_t) override;
  bool key(std::string& name) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return refuse("the body is not valid JSON, as seen at byte " + std::to_string(position));
  }

  std::string fault;
  std::string message;

 private:
  struct Frame {
    MessageId id;
    std::string bytes;
    const JsonField* field = nullptr;  // whose value comes next; null: an unknown one's
    uint64_t seen = 0;                 // one bit per field
    bool in_list = false;
    bool chosen = false;  // one of its one-of
  };

  bool refuse(std::string why) {
    if (fault.empty()) fault = std::move(why);
    return false;
  }
  bool refuse_value(std::string_view wanted) {
    return refuse("field \"" + std::string(frames_.back().field->name) + "\" takes " +
                  std::string(wanted));
  }
  bool skipping() const { return skipped_ > 0; }
  bool deeper() {
    return ++depth_ <= kJsonDepthMax ||
           refuse("the body is nested deeper than " + std::to_string(kJsonDepthMax) + " levels");
  }
  // What every value must satisfy. Sets `field` to null when the value is to be skipped.
  bool admit(const JsonField*& field);
  template <class Number>
  bool take_number(Number value);
  bool store(const JsonField& field, std::optional<uint64_t> bits);

  MessageId root_;
  std::vector<Frame> frames_;
  size_t depth_ = 0;
  size_t skipped_ = 0;  // levels inside the value of an unknown field
};

bool Reader::admit(const JsonField*& field) {
  field = nullptr;
  if (skipping()) return true;
  if (frames_.empty()) return refuse("the body is not a JSON object");
  Frame& frame = frames_.back();
  field = frame.field;
  if (field == nullptr) return true;
  if (field->repeated && !frame.in_list) return refuse_value("a list");
  if (field->one_of) {
    if (frame.chosen) return refuse_value("a value only when no other of its kind has one");
    frame.chosen = true;
  }
  return true;
}

bool Reader::store(const JsonField& field, std::optional<uint64_t> bits) {
  if (!bits) return refuse_value("an integer within the range of its type");
  std::string& out = frames_.back().bytes;
  // Zero is a value in a list and where it says which of several is meant; else the default.
  if (field.one_of || field.repeated) {
    write_varint(uint64_t{field.number} << 3U, out);
    write_varint(*bits, out);
  } else {
    write_number(field.number, *bits, out);
  }
  return true;
}

bool Reader::null() {
  if (skipping()) return true;
  if (frames_.empty()) return refuse("the body is not a JSON object");
  // A field that is null is a field not given; a list has no such places.
  return !frames_.back().in_list || refuse_value("a list without null");
}

bool Reader::boolean(bool value) {
  const JsonField* field = nullptr;
  if (!admit(field)) return false;
  if (field == nullptr) return true;
  if (field->kind != FieldKind::flag) return refuse_value("something else than true or false");
  return store(*field, value ? 1 : 0);
}

template <class Number>
bool Reader::take_number(Number value) {
  const JsonField* field = nullptr;
  if (!admit(field)) return false;
  if (field == nullptr) return true;
  if (!is_number(field->kind) && field->kind != FieldKind::enumeration) {
    return refuse_value("something else than a number");
  }
  return store(*field, bits_of(field->kind, value));
}

bool Reader::number_integer(int64_t value) { return take_number(value); }

bool Reader::number_unsigned(uint64_t value) { return take_number(value); }

bool Reader::number_float(double value, const std::string&) {
  // 1e3 and 5.0 are integers in JSON's eyes; beyond 2^63 a double would not be exact anyway.
  constexpr double kExactMax = 9.2e18;
  if (std::abs(value) < kExactMax && std::trunc(value) == value) {
    return number_integer(static_cast<int64_t>(value));
  }
  const JsonField* field = nullptr;
  if (!admit(field)) return false;
  return field == nullptr || refuse_value("an integer within the range of its type");
}

bool Reader::string(std::string& value) {
  const JsonField* field = nullptr;
  if (!admit(field)) return false;
  if (field == nullptr) return true;
  std::string& out = frames_.back().bytes;
  const bool explicitly = field->repeated || field->one_of;
  const auto write = explicitly ? write_element : write_text;
  switch (field->kind) {
    case FieldKind::text:
      write(field->number, value, out);
      return true;
    case FieldKind::bytes: {
      std::string bytes;
      if (!decode_base64(value, bytes)) return refuse_value("base64");
      write(field->number, bytes, out);
      return true;
    }
    case FieldKind::int64:
      return store(*field, parse_number<int64_t>(field->kind, value));
    case FieldKind::uint32:
    case FieldKind::uint64:
      return store(*field, parse_number<uint64_t>(field->kind, value));
    case FieldKind::enumeration:
      for (size_t number = 0; number < field->names.size(); ++number) {
        if (field->names[number] == value) return store(*field, number);
      }
      return refuse_value("one of the names that the API defines for it");
    case FieldKind::flag:
      return refuse_value("true or false");
    case FieldKind::message:
      return refuse_value("an object");
  }
  return refuse("a field has no kind");
}

bool Reader::start_object(size_t) {
  if (!deeper()) return false;
  if (frames_.empty() && !skipping()) {
    frames_.push_back({root_, {}});
    return true;
  }
  const JsonField* field = nullptr;
  if (!admit(field)) return false;
  if (field == nullptr) {
    ++skipped_;
    return true;
  }
  if (field->kind != FieldKind::message) return refuse_value("something else than an object");
  frames_.push_back({field->message, {}});
  return true;
}

bool Reader::key(std::string& name) {
  if (skipping()) return true;
  Frame& frame = frames_.back();
  frame.field = nullptr;
  const auto fields = fields_of(frame.id);
  for (size_t position = 0; position < fields.size(); ++position) {
    if (!same_name(fields[position].name, name)) continue;
    frame.field = &fields[position];
    if ((frame.seen >> position & 1U) != 0) return refuse_value("one value, not two");
    frame.seen |= uint64_t{1} << position;
  }
  return true;
}

bool Reader::end_object() {
  --depth_;
  if (skipping()) {
    --skipped_;
    return true;
  }
  std::string bytes = std::move(frames_.back().bytes);
  frames_.pop_back();
  if (frames_.empty()) {
    message = std::move(bytes);
  } else {
    write_element(frames_.back().field->number, bytes, frames_.back().bytes);
  }
  return true;
}

bool Reader::start_array(size_t) {
  if (!deeper()) return false;
  if (skipping()) {
    ++skipped_;
    return true;
  }
  if (frames_.empty()) return refuse("the body is not a JSON object");
  Frame& frame = frames_.back();
  if (frame.field == nullptr) {
    ++skipped_;
    return true;
  }
  if (!frame.field->repeated || frame.in_list) return refuse_value("something else than a list");
  frame.in_list = true;
  return true;
}

bool Reader::end_array() {
  --depth_;
  if (skipping()) {
    --skipped_;
  } else {
    frames_.back().in_list = false;
  }
  return true;
}

void append_value(const JsonField& field, const FieldValue& value, std::string& out);

// The elements of one field; a single one counts by its last, as protobuf has it.
bool append_field(const JsonField& field, std::string_view message, std::string& out) {
  FieldValue value;
  FieldValue last;
  uint32_t number = 0;
  size_t found = 0;
  const size_t start = out.size();
  while (next_field(message, number, value)) {
    if (number != field.number) continue;
    last = value;
    if (field.repeated) {
      out += found == 0 ? "[" : ",";
      append_value(field, value, out);
    }
    ++found;
  }
  if (found == 0) return false;
  if (field.repeated) {
    out += "]";
    return true;
  }
  // Of text and bytes the number is the length.
  const bool is_default = last.number == 0 && field.kind != FieldKind::message && !field.one_of;
  if (is_default) return false;
  append_value(field, last, out);
  return out.size() > start;
}

void append_message(MessageId id, std::string_view message, std::string& out) {
  out += "{";
  bool first = true;
  for (const JsonField& field : fields_of(id)) {
    const size_t before = out.size();
    if (!first) out += ",";
    out += "\"";
    out += field.name;
    out += "\":";
    if (append_field(field, message, out)) {
      first = false;
    } else {
      out.resize(before);
    }
  }
  out += "}";
}

void append_value(const JsonField& field, const FieldValue& value, std::string& out) {
  switch (field.kind) {
    case FieldKind::flag:
      out += value.number != 0 ? "true" : "false";
      return;
    case FieldKind::uint32:  // a double holds it exactly, so that it is a number in JSON
      out += std::to_string(value.number);
      return;
    case FieldKind::int64:
      out += "\"" + std::to_string(static_cast<int64_t>(value.number)) + "\"";
      return;
    case FieldKind::uint64:
      out += "\"" + std::to_string(value.number) + "\"";
      return;
    case FieldKind::text:
      append_json_text(value.text, out);
      return;
    case FieldKind::bytes:
      out += "\"";
      append_base64(value.text, out);
      out += "\"";
      return;
    case FieldKind::enumeration:
      if (value.number < field.names.size()) {
        append_json_text(field.names[value.number], out);
      } else {
        out += std::to_string(static_cast<int64_t>(value.number));
      }
      return;
    case FieldKind::message:
      append_message(field.message, value.text, out);
      return;
  }
}

}  // namespace

std::optional<std::string> json_to_message(MessageId id, std::string_view json,
                                           std::string& message) {
  message.clear();
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return std::nullopt;
  // The parser takes a zero byte for the end of the text and would not look at what is behind it.
  if (const size_t zero = json.find('\0'); zero != std::string_view::npos) {
    return "the body is not valid JSON, as seen at byte " + std::to_string(zero + 1);
  }
  Reader reader(id);
  if (!Json::sax_parse(json, &reader)) return reader.fault;
  message = std::move(reader.message);
  return std::nullopt;
}

std::string message_to_json(MessageId id, std::string_view message) {
  std::string out;
  append_message(id, message, out);
  return out;
}

void append_json_text(std::string_view text, std::string& out) {
  // Text that is not UTF-8 would make the whole answer unreadable: its bytes are replaced.
  out += Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quorate::front::etcd
