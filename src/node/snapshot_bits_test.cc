// D04 for snapshots: every one of the 524,288 bits of a snapshot of 64 KiB, flipped on its way or
// on either disk, and none arrives.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "node/snapshot_files.h"
#include "storage/kv/test_disk.h"

namespace quorate::node {
namespace {

constexpr size_t kBytes = size_t{64} << 10U;

Result<void> receive(const std::string& content, uint32_t announced) {
  storage::TestDisk disk;
  SnapshotWriter writer(disk, "/in", {{"file", kBytes, announced}});
  if (auto begun = writer.begin(); !begun) return begun;
  if (auto written = writer.write(0, 0, Bytes(content)); !written) return written;
  return writer.finish("/", "/out");
}

TEST(SnapshotBits, EveryFlippedBitIsNoticed) {
  Rng rng(4);
  std::string content(kBytes, '\0');
  for (char& byte : content) byte = static_cast<char>(rng.below(256));
  const uint32_t announced = crc32c(content);
  ASSERT_TRUE(receive(content, announced)) << "the whole one arrives";
  uint64_t noticed = 0;
  for (char& byte : content) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const auto mask = static_cast<char>(1U << bit);
      byte = static_cast<char>(byte ^ mask);
      const auto received = receive(content, announced);
      if (!received && received.error().kind == ErrorKind::corrupt) ++noticed;
      byte = static_cast<char>(byte ^ mask);
    }
  }
  EXPECT_EQ(noticed, 8 * kBytes);
  EXPECT_TRUE(receive(content, announced));
}

}  // namespace
}  // namespace quorate::node
