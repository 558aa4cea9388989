// app/etcdctl/command_line.h: etcdctl's commands as subcommands, and its flags for all of them.
//
// Included by the files that read command lines only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/commands.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace quorate::app::etcdctl {

// Runs a command with what the global flags say; keeps its exit code.
using Run = std::function<void(const std::function<int(const Common&)>&)>;

// Holds what the flags say while the command line is parsed and run.
struct Lines;
std::shared_ptr<Lines> make_lines();
// `command` is what stands behind `--`, for the commands that run another program.
void add_commands(CLI::App& app, Lines& lines, const Run& run,
                  const std::vector<std::string>& command);

// The script that completes `app`'s commands and flags in `shell`; empty: not a known shell.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace quorate::app::etcdctl
