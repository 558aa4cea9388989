#include "front/grpc/request_fields.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace quorate::front::grpc {
namespace {

// The characters of a token (RFC 9110 5.6.2) without the capitals, which HTTP/2 has no use for.
constexpr std::array<bool, 256> name_characters() {
  std::array<bool, 256> allowed{};
  for (char letter = 'a'; letter <= 'z'; ++letter) allowed[static_cast<uint8_t>(letter)] = true;
  for (char digit = '0'; digit <= '9'; ++digit) allowed[static_cast<uint8_t>(digit)] = true;
  for (const char mark : std::string_view("!#$%&'*+-.^_`|~")) {
    allowed[static_cast<uint8_t>(mark)] = true;
  }
  return allowed;
}
constexpr std::array<bool, 256> kNameCharacters = name_characters();

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char character) {
    return kNameCharacters[static_cast<uint8_t>(character)];
  });
}

constexpr uint64_t each_byte(uint64_t value) { return value * 0x0101010101010101; }

// Whether all of eight bytes are at least 0x20 and none is 0x7f, without looking at each.
bool plain_eight(const char* place) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, place, sizeof bytes);
  const uint64_t below = (bytes - each_byte(0x20)) & ~bytes;
  const uint64_t other = bytes ^ each_byte(0x7f);
  const uint64_t removed = (other - each_byte(0x01)) & ~other;
  return ((below | removed) & each_byte(0x80)) == 0;
}

bool is_value(std::string_view text) {
  while (text.size() >= sizeof(uint64_t) && plain_eight(text.data())) {
    text.remove_prefix(sizeof(uint64_t));
  }
  return std::ranges::all_of(text, [](char character) {
    const auto byte = static_cast<uint8_t>(character);
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
  });
}

// Of one connection, which in HTTP/2 frames speak for (RFC 9113 8.2.2).
bool is_of_connection(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 2:
      return name == "te" && value != "trailers";
    case 7:
      return name == "upgrade";
    case 10:
      return name == "connection" || name == "keep-alive";
    case 16:
      return name == "proxy-connection";
    case 17:
      return name == "transfer-encoding";
    default:
      return false;
  }
}

}  // namespace

void RequestFields::take(std::string_view name, std::string_view value) {
  if (malformed_) return;
  if (name.starts_with(':')) {
    malformed_ = regular_ || !is_value(value) || !take_pseudo(name, value);
    return;
  }
  regular_ = true;
  malformed_ = !is_name(name) || !is_value(value) || is_of_connection(name, value);
}

bool RequestFields::take_pseudo(std::string_view name, std::string_view value) {
  uint8_t which = 0;
  if (name == ":method") which = kMethod;
  if (name == ":scheme") which = kScheme;
  if (name == ":path") which = kPath;
  if (name == ":authority") which = kAuthority;
  if (which == 0 || (pseudo_ & which) != 0) return false;
  if (value.empty() && which != kAuthority) return false;
  pseudo_ |= which;
  return true;
}

}  // namespace quorate::front::grpc
