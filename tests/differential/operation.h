// tests/differential/operation.h: one step of a run, the same for both servers.
//
// A run is a list of these. Each has a line of text that can be read again, so that a list which
// led to a difference can be kept, shortened, and tried once more.
#pragma once

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace quorate::differential {

using google::protobuf::Message;

// What the API calls: both messages are known by the tests' own protobuf code, so that what
// Quorate writes by hand is read by somebody else.
struct Method {
  std::string_view name;  // "KV/Range"
  const Message* request;
  const Message* response;
};
std::span<const Method> methods();
const Method* find_method(std::string_view name);
const Method* method_of_path(std::string_view path);
std::string path_of(std::string_view name);

enum class Kind : uint8_t {
  call,         // one request, one answer
  raw,          // bytes that need not be a request, to a path that need not be a method
  watch,        // a request on a stream of watches
  expire,       // wait until the short leases have ended
  lose_leader,  // kill it with a put under way; the run goes on with its successor
};

struct Operation {
  Kind kind = Kind::call;
  std::string name;                        // of the method; for raw: the path
  std::shared_ptr<const Message> request;  // call, watch
  std::string bytes;                       // raw
  size_t stream = 0;                       // watch
};

Operation make_call(std::string_view name, std::shared_ptr<const Message> request);

// One line. With `bytes_max`, long keys and values are cut for a reader; such a line is not meant
// to be read again.
std::string to_text(const Operation& operation, size_t bytes_max = SIZE_MAX);
std::optional<Operation> read_operation(std::string_view line);

// A message on one line, long strings cut.
std::string to_text(const Message& message, size_t bytes_max);

// Leases with these ids are granted for a day or more; all others end within seconds, and
// Kind::expire waits for that.
inline constexpr std::array<int64_t, 10> kLongLeases = {1,  2,  3,  4,         5,
                                                        77, 78, -6, INT64_MAX, INT64_MIN};
inline bool is_long_lease(int64_t id) {
  return std::ranges::find(kLongLeases, id) != kLongLeases.end();
}

}  // namespace quorate::differential
