#include "front/grpc/json_split.h"

namespace quorate::front::grpc {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

}  // namespace

bool is_blank(std::string_view json) {
  return json.find_first_not_of(kSpaces) == std::string_view::npos;
}

// A value, behind its first byte.
bool JsonSplit::ends_with(char character) {
  if (in_text_) {
    if (escaped_) {
      escaped_ = false;
    } else if (character == '\\') {
      escaped_ = true;
    } else if (character == '"') {
      in_text_ = false;
    }
    return false;
  }
  if (character == '"') in_text_ = true;
  if (character == '{' || character == '[') ++depth_;
  return (character == '}' || character == ']') && --depth_ == 0;
}

std::optional<size_t> JsonSplit::find_end(std::string_view body) {
  for (; looked_at_ < body.size(); ++looked_at_) {
    const char character = body[looked_at_];
    if (depth_ == 0) {
      if (kSpaces.find(character) != std::string_view::npos) continue;
      if (character != '{') {
        reset();
        return body.size();
      }
      depth_ = 1;
    } else if (ends_with(character)) {
      const size_t end = looked_at_ + 1;
      reset();
      return end;
    }
  }
  return std::nullopt;
}

}  // namespace quorate::front::grpc
