#include "load/outcome.h"

#include <array>
#include <charconv>

namespace quorate::load {

std::string_view outcome_name(Outcome outcome) {
  static constexpr std::array<std::string_view, kOutcomeCount> kNames = {
      "OK",       "Canceled",        "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",   "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",      "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated", "no grpc-status",   "connection lost",   "wrong answer"};
  return kNames.at(static_cast<size_t>(outcome));
}

Outcome outcome_of_status(std::string_view grpc_status) {
  unsigned number = 0;
  const char* const end = grpc_status.data() + grpc_status.size();
  const auto parsed = std::from_chars(grpc_status.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number > kGrpcStatusMax) {
    return Outcome::unknown;
  }
  return static_cast<Outcome>(number);
}

}  // namespace quorate::load
