// app/logging.h: the one place where log lines become text on stderr.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace quorate::app {

// Installs the sink of base/log.h. Levels are etcd's; panic and fatal mean errors only.
struct LogOptions {
  std::string level = "info";
  bool json = false;                               // one object a line, with etcd's names
  std::vector<std::string> outputs = {"default"};  // default or stderr, stdout, or files
};
// An error: a file cannot be written.
Result<void> install_logging(const LogOptions& options);

}  // namespace quorate::app
