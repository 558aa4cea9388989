// world/real/files.h: Disk over the operating system's files. Thread-safe.
#pragma once

#include <memory>

#include "world/disk.h"

namespace quorate::world {

std::unique_ptr<Disk> make_file_disk();

}  // namespace quorate::world
