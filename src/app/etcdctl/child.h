// app/etcdctl/child.h: another program, run for an event or while a lock is held.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "app/interruption.h"
#include "base/result.h"

namespace quorate::app::etcdctl {

using Variables = std::vector<std::pair<std::string, std::string>>;

// Starts `command` with our standard streams and more environment. Its process id, or why not.
Result<int> start_child(const std::vector<std::string>& command, const Variables& variables,
                        const Interruption& interruption);
// The exit code once it has ended (128 and the signal's number if one ended it); -1: it runs.
int child_code(int process, bool wait);

}  // namespace quorate::app::etcdctl
