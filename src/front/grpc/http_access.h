// front/grpc/http_access.h: to whom plain HTTP is spoken: browsers' pages by their origin, and
// requests by the host name that they came under.
//
// A page of any site may make a browser send requests here. It can read the answers only if its
// origin is allowed; and a name that some stranger points to this address (DNS rebinding) is
// answered only if every name is, or it is listed. gRPC is not asked: no browser speaks it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quorate::front::grpc {

class HttpAccess {
 public:
  HttpAccess() = default;  // everybody
  // An empty list, or "*" in it: everybody.
  HttpAccess(std::vector<std::string> origins, std::vector<std::string> hosts);

  bool checks_hosts() const { return !hosts_.empty(); }
  // By the header Host or :authority, whose port does not count.
  bool allows_host(std::string_view host) const;
  // What an answer says of who may read it: "*", this origin, or nothing.
  std::string_view allowed_origin(std::string_view origin) const;

 private:
  std::vector<std::string> origins_;  // empty: all; so with hosts
  std::vector<std::string> hosts_;
};

inline constexpr std::string_view kAllowedMethods = "POST, GET, OPTIONS, PUT, DELETE";
inline constexpr std::string_view kAllowedHeaders = "accept, content-type, authorization";

// To who came under a name that is not allowed.
std::string misdirected_text(std::string_view host);

}  // namespace quorate::front::grpc
