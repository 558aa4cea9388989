// base/result.h: answers that may be a failure of the world or an expected refusal.
//
// Used outside consensus/ only: the cores cannot fail. Every Error says what happened, why and,
// where a person can act, what to do next, in one sentence that can be shown as it is.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace quorate {

enum class ErrorKind {
  io,          // the disk or the kernel failed; after a failed sync: stop, never retry
  corrupt,     // stored bytes are not what was written
  not_found,   // a named thing is absent
  invalid,     // input that can never be accepted
  conflict,    // belongs to somebody else: lock held, other cluster's data
  no_space,    // the device or the quota is full
  unavailable  // may work later
};

struct Error {
  ErrorKind kind = ErrorKind::io;
  std::string text;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(ErrorKind kind, std::string text) {
  return std::unexpected<Error>(Error{kind, std::move(text)});
}

}  // namespace quorate
