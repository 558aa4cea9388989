// front/grpc/gateway.h: what stands between a posted JSON body and the message of a gRPC method.
//
// A gateway only translates: the call itself runs through the same handler as one that came over
// gRPC, so that there is one implementation and one set of checks. A route is the number of a path.
#pragma once

#include <cstddef>
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
  virtual std::string write_error(const Status& status) const = 0;
};

// As clients of such gateways know it.
int http_status_of(Code code);

}  // namespace quorate::front::grpc
