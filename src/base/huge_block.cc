#include "base/huge_block.h"

#include <sys/mman.h>

#include <cstdint>

#include "base/check.h"

namespace quorate {

HugeBlock::HugeBlock() {
  // Twice as much, so that an aligned piece lies within; the rest goes back at once.
  constexpr size_t kTaken = 2 * kBytes;
  void* taken = ::mmap(nullptr, kTaken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(taken != MAP_FAILED, "out of memory");
  auto* start = static_cast<char*>(taken);
  const size_t past = reinterpret_cast<uintptr_t>(start) % kBytes;
  const size_t before = past == 0 ? 0 : kBytes - past;
  if (before > 0) ::munmap(start, before);
  data_ = start + before;
  ::munmap(data_ + kBytes, kTaken - kBytes - before);
  ::madvise(data_, kBytes, MADV_HUGEPAGE);  // a wish: without it the piece is as good, but slower
}

HugeBlock::~HugeBlock() { ::munmap(data_, kBytes); }

}  // namespace quorate
