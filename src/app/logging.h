// app/logging.h: the one place where log lines become text on stderr.
#pragma once

#include <string>

namespace quorate::app {

// Installs the sink of base/log.h. Levels are etcd's; panic and fatal mean errors only.
void install_logging(const std::string& level);

}  // namespace quorate::app
