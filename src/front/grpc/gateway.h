// front/grpc/gateway.h: what stands between a posted JSON body and the message of a gRPC method.
//
// A gateway only translates: the call itself runs through the same handler as one that came over
// gRPC, so that there is one implementation and one set of checks. A route is the number of a path.
// Where gRPC has a stream, a body holds one JSON value behind the other, and the answer a line for
// each message, as they come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "front/grpc/status.h"

namespace quorate::front::grpc {

class Gateway {
 public:
  virtual ~Gateway() = default;
  virtual std::optional<size_t> find(std::string_view path) const = 0;
  virtual std::string method(size_t route) const = 0;  // "/package.Service/Method"
  // The body is hostile; a status other than OK says what is wrong with it.
  virtual Status read(size_t route, std::string_view body, std::string& message) const = 0;
  virtual std::string write(size_t route, std::string_view message) const = 0;
  // Of which several come: what clients send, or what they are answered.
  enum class Shape : uint8_t { one, many_answers, many };
  virtual Shape shape(size_t route) const = 0;
  // One of many answers, and an error behind some of them; each a line.
  virtual std::string write_result(size_t route, std::string_view message) const = 0;
  virtual std::string write_late_error(const Status& status) const = 0;
  virtual std::string write_error(const Status& status) const = 0;
};

// As clients of such gateways know it.
int http_status_of(Code code);
std::string_view reason_phrase(int http_status);

}  // namespace quorate::front::grpc
