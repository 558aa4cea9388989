// load/dial.h: the beginning of a connection to "host:port", name or address.
#pragma once

#include <string>
#include <string_view>

namespace quorate::load {

// A socket that does not block and is on its way to `endpoint`; -1 with the reason in `problem`.
int begin_connect(const std::string& endpoint, std::string_view default_port, std::string& problem);

}  // namespace quorate::load
