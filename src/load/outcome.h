// load/outcome.h: how one operation ended. An error is not a result: only `ok` counts as done.
//
// The numbers up to 16 are those of grpc-status; behind them stands what a call can end with
// when no status came, or when the status was fine and the answer was not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quorate::load {

enum class Outcome : uint8_t {
  ok = 0,
  canceled = 1,
  unknown = 2,
  deadline_exceeded = 4,
  unavailable = 14,
  no_status = 17,        // the stream ended and nobody said how
  connection_lost = 18,  // nobody knows whether it was done
  wrong_answer = 19      // said to be fine, but not what was asked for
};
inline constexpr size_t kOutcomeCount = 20;
inline constexpr uint8_t kGrpcStatusMax = 16;

std::string_view outcome_name(Outcome outcome);
// Of the header `grpc-status`; what is no status of gRPC's is `unknown`, as its rules say.
Outcome outcome_of_status(std::string_view grpc_status);

}  // namespace quorate::load
