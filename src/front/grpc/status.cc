#include "front/grpc/status.h"

#include <algorithm>
#include <array>

#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

constexpr std::array<std::string_view, kCodeCount> kNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr std::array<std::string_view, kCodeCount> kNumbers = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};

int hexadecimal(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace

std::string_view code_name(Code code) { return kNames.at(static_cast<size_t>(code)); }
std::string_view code_number(Code code) { return kNumbers.at(static_cast<size_t>(code)); }

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char character : text.substr(0, kStatusTextBytesMax)) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
      encoded.push_back(character);
    } else {
      encoded.push_back('%');
      encoded.push_back(kDigits[byte >> 4U]);
      encoded.push_back(kDigits[byte & 15U]);
    }
  }
  return encoded;
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t position = 0; position < text.size(); ++position) {
    if (text[position] == '%' && position + 2 < text.size()) {
      const int high = hexadecimal(text[position + 1]);
      const int low = hexadecimal(text[position + 2]);
      if (high >= 0 && low >= 0) {
        decoded.push_back(static_cast<char>(high * 16 + low));
        position += 2;
        continue;
      }
    }
    decoded.push_back(text[position]);
  }
  return decoded;
}

std::optional<Duration> parse_timeout(std::string_view text) {
  // At most eight digits and one unit (gRPC over HTTP/2, "Requests").
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t number = 0;
  for (const char digit : text.substr(0, text.size() - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  int64_t unit = 0;
  switch (text.back()) {
    case 'n':
      unit = 1;
      break;
    case 'u':
      unit = 1000;
      break;
    case 'm':
      unit = 1000000;
      break;
    case 'S':
      unit = 1000000000;
      break;
    case 'M':
      unit = 60 * int64_t{1000000000};
      break;
    case 'H':
      unit = 3600 * int64_t{1000000000};
      break;
    default:
      return std::nullopt;
  }
  constexpr int64_t kLongest = int64_t{10} * 365 * 24 * 3600 * 1000000000;
  return Duration(number > kLongest / unit ? kLongest : number * unit);
}

}  // namespace quorate::front::grpc
