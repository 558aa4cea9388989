#include "front/grpc/http_access.h"

#include <algorithm>

namespace quorate::front::grpc {
namespace {

std::vector<std::string> unless_all(std::vector<std::string> list) {
  if (std::ranges::find(list, "*") != list.end()) list.clear();
  return list;
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

HttpAccess::HttpAccess(std::vector<std::string> origins, std::vector<std::string> hosts)
    : origins_(unless_all(std::move(origins))), hosts_(unless_all(std::move(hosts))) {}

bool HttpAccess::allows_host(std::string_view host) const {
  return hosts_.empty() || std::ranges::find(hosts_, without_port(host)) != hosts_.end();
}

std::string_view HttpAccess::allowed_origin(std::string_view origin) const {
  if (origins_.empty()) return "*";
  if (origin.empty() || std::ranges::find(origins_, origin) == origins_.end()) return {};
  return origin;
}

std::string misdirected_text(std::string_view host) {
  const std::string name(without_port(host));
  return "This server is not known under the name \"" + name +
         "\": a page of somebody else's may have pointed that name here (DNS rebinding, "
         "CVE-2018-5702).\nIf the name is yours, add it: --host-whitelist \"" +
         name + "\"\n";
}

}  // namespace quorate::front::grpc
