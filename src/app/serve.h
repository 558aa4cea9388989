// app/serve.h: one member, from its settings to its last log line. Here the rooms are wired.
#pragma once

#include <string>
#include <vector>

#include "app/config.h"

namespace quorate::app {

// The subcommand; `program` is "quorate" or "etcd". Returns the exit code.
int serve_command(const std::vector<std::string>& arguments, const std::string& program);

// Runs until a stop signal or a failure. Returns the exit code.
int run_member(const ServeConfig& config);

// Who the member is, as the flags have it: the ids are those of a founding.
node::NodeConfig node_config(const ServeConfig& config);

// `etcd --version` in etcd's words, or `quorate --version` in ours.
std::string version_text(const std::string& program);

}  // namespace quorate::app
