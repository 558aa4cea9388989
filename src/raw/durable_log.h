// raw/durable_log.h: the production log (storage/wal) on real files, with a disk thread of its own
// for each replica, as three processes would have.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "raw/entry_log.h"
#include "world/disk.h"
#include "world/executor.h"

namespace quorate::raw {

// `failed` is called once if the disk fails; nothing is durable after it. Blocking. The disk and
// the executor outlive the log.
Result<std::unique_ptr<EntryLog>> open_durable_log(world::Executor& executor, world::Disk& disk,
                                                   const std::string& directory,
                                                   std::function<void(const Error&)> failed);

}  // namespace quorate::raw
