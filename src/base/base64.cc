#include "base/base64.h"

#include <cstdint>

namespace quorate {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr uint32_t kNoDigit = 64;

uint32_t digit_of(char character) {
  if (character >= 'A' && character <= 'Z') return static_cast<uint32_t>(character - 'A');
  if (character >= 'a' && character <= 'z') return static_cast<uint32_t>(character - 'a') + 26;
  if (character >= '0' && character <= '9') return static_cast<uint32_t>(character - '0') + 52;
  if (character == '+' || character == '-') return 62;
  if (character == '/' || character == '_') return 63;
  return kNoDigit;
}

uint32_t byte_at(std::string_view bytes, size_t position) {
  return position < bytes.size() ? static_cast<unsigned char>(bytes[position]) : 0;
}

}  // namespace

void append_base64(std::string_view bytes, std::string& out) {
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  for (size_t position = 0; position < bytes.size(); position += 3) {
    const uint32_t group = byte_at(bytes, position) << 16U | byte_at(bytes, position + 1) << 8U |
                           byte_at(bytes, position + 2);
    const size_t held = bytes.size() - position;
    out.push_back(kAlphabet[group >> 18U]);
    out.push_back(kAlphabet[group >> 12U & 63U]);
    out.push_back(held > 1 ? kAlphabet[group >> 6U & 63U] : '=');
    out.push_back(held > 2 ? kAlphabet[group & 63U] : '=');
  }
}

bool decode_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 == 0) {
    if (text.ends_with('=')) text.remove_suffix(1);
    if (text.ends_with('=')) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return false;
  uint32_t group = 0;
  uint32_t bits = 0;
  out.reserve(out.size() + text.size() / 4 * 3 + 2);
  for (const char character : text) {
    const uint32_t digit = digit_of(character);
    if (digit == kNoDigit) return false;
    group = (group << 6U | digit) & 0xffffffU;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<char>(group >> bits & 0xffU));
  }
  return true;
}

}  // namespace quorate
