// front/grpc/status.h: how a gRPC call ends, and the text forms its headers use.
//
// Shared by server and client. Numbers and names are those of the gRPC protocol; parsing takes
// hostile text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace quorate::front::grpc {

enum class Code : uint8_t {
  ok = 0,
  canceled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16
};
inline constexpr size_t kCodeCount = 17;

struct Status {
  Code code = Code::ok;
  std::string text;
};

std::string_view code_name(Code code);    // as metrics and people know it: OK, Unavailable
std::string_view code_number(Code code);  // decimal, lives for ever
std::string percent_encode(std::string_view text);  // for grpc-message; cut at the limit
std::string percent_decode(std::string_view text);
// "100m" and the like; nullopt when malformed. Absurdly long ones are capped at ten years.
std::optional<Duration> parse_timeout(std::string_view text);

}  // namespace quorate::front::grpc
