// front/grpc/json_split.h: where one JSON value ends and the next begins, in a body that may hold
// several and comes in pieces.
//
// Knows brackets and texts and no more: whether a value is good JSON is for whoever reads it. Each
// byte is looked at once, however small the pieces are.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace quorate::front::grpc {

class JsonSplit {
 public:
  // The end of the value at the front of `body`, white space before it included; nullopt: more is
  // needed. Until then `body` may only grow; after an end the next call is about what follows it.
  // What does not begin like an object has no end that could be found: all of it is one value.
  std::optional<size_t> find_end(std::string_view body);
  void reset() { *this = JsonSplit(); }

 private:
  bool ends_with(char character);

  size_t looked_at_ = 0;
  size_t depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;
};

bool is_blank(std::string_view json);

}  // namespace quorate::front::grpc
