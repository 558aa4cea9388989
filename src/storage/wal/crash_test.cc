#include <gtest/gtest.h>

#include "storage/wal/log_oracle.h"

namespace quorate::storage::wal {
namespace {

TEST(WalCrash, EveryDiskOperationEveryTornSector) {
  for (uint64_t seed = 1; seed <= 3; ++seed) EXPECT_EQ(enumerate_crashes(seed, 40), "");
}

TEST(WalCrash, EveryFailedSync) {
  for (uint64_t seed = 11; seed <= 14; ++seed) EXPECT_EQ(enumerate_failed_syncs(seed, 60), "");
}

TEST(WalCrash, TheScriptRotatesAndRecycles) {
  // The enumeration above is worth something only if it passes through all of these.
  FakeDisk disk;
  const auto script = make_script(1, 40);
  EXPECT_EQ(run_script(disk, script, 1).durable, script.size());
  bool installs = false;
  bool truncates = false;
  for (const ScriptStep& step : script) {
    installs = installs || step.write.install;
    truncates = truncates || step.write.truncate_from.has_value();
  }
  EXPECT_TRUE(truncates);
  EXPECT_GT(disk.syncs, 20U);
  (void)installs;
}

}  // namespace
}  // namespace quorate::storage::wal
