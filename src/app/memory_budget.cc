#include "app/memory_budget.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace quorate::app {

namespace {

constexpr uint64_t kShare = 4;
// Below this a store would read nearly every value from its tables, and it is little anyhow.
constexpr uint64_t kLeastBytes = uint64_t{64} << 20U;
constexpr const char* kGroupLimit = "/sys/fs/cgroup/memory.max";  // as seen from within a container

}  // namespace

uint64_t memory_for_values() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  uint64_t bytes = 0;
  if (pages > 0 && page_bytes > 0) {
    bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
  }
  uint64_t allowed = 0;
  if (std::ifstream limit(kGroupLimit); limit >> allowed && allowed > 0) {  // or the word "max"
    bytes = std::min(bytes, allowed);
  }
  return std::max(bytes / kShare, kLeastBytes);
}

}  // namespace quorate::app
