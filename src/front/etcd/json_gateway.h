// front/etcd/json_gateway.h: the JSON form of the API: POST /v3/kv/put and its like.
#pragma once

#include "front/grpc/gateway.h"

namespace quorate::front::etcd {

class JsonGateway final : public grpc::Gateway {
 public:
  std::optional<size_t> find(std::string_view path) const override;
  std::string method(size_t route) const override;
  grpc::Status read(size_t route, std::string_view body, std::string& message) const override;
  std::string write(size_t route, std::string_view message) const override;
  Shape shape(size_t route) const override;
  std::string write_result(size_t route, std::string_view message) const override;
  std::string write_late_error(const grpc::Status& status) const override;
  std::string write_error(const grpc::Status& status) const override;
};

}  // namespace quorate::front::etcd
