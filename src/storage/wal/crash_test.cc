#include <gtest/gtest.h>

#include "storage/wal/log_oracle.h"
#include "storage/wal/recovery.h"

namespace quorate::storage::wal {
namespace {

TEST(WalCrash, EveryDiskOperationEveryTornSector) {
  for (uint64_t seed = 1; seed <= 3; ++seed) EXPECT_EQ(enumerate_crashes(seed, 40), "");
}

TEST(WalCrash, EveryFailedSync) {
  for (uint64_t seed = 11; seed <= 14; ++seed) EXPECT_EQ(enumerate_failed_syncs(seed, 60), "");
}

// The enumeration above is worth something only if its scripts pass through all of these.
TEST(WalCrash, TheScriptsRotateRecycleTruncateAndInstall) {
  bool truncates = false;
  bool installs = false;
  bool drops = false;
  bool leaves_holes = false;
  bool keeps_behind = false;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    FakeDisk disk;
    const auto script = make_script(seed, 60);
    EXPECT_EQ(run_script(disk, script, seed).durable, script.size());
    for (const ScriptStep& step : script) {
      truncates = truncates || step.write.truncate_from.has_value();
      installs = installs || step.write.install;
      drops = drops || (step.write.snapshot && !step.write.install);
      keeps_behind = keeps_behind || step.write.keep_behind;
      for (size_t place = 1; place < step.write.entries.size(); ++place) {
        const Index before = step.write.entries[place - 1].index;
        leaves_holes = leaves_holes || step.write.entries[place].index != before.next();
      }
    }
    const auto found = recover_log(disk, "wal");
    ASSERT_TRUE(found.has_value());
    const size_t segments = disk.files.size() - disk.files.count("wal/mark");
    EXPECT_GT(found->last_generation, segments) << "some file has had several lives";
  }
  EXPECT_TRUE(truncates && installs && drops && leaves_holes && keeps_behind);
}

}  // namespace
}  // namespace quorate::storage::wal
