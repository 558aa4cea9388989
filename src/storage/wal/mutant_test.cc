// Each planted bug of this room must be found by this room's own tests.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "storage/wal/log_oracle.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace storage::wal {
namespace {

class WalMutant : public testing::Test {
 protected:
  ~WalMutant() override { active_mutant = Mutant::none; }
};

std::string find_crash_problem() {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    std::string problem = enumerate_crashes(seed, 40);
    if (!problem.empty()) return problem;
  }
  return "";
}

// A log of several batches with one early byte damaged must be refused.
bool refuses_damage_in_the_middle() {
  FakeDisk disk;
  run_script(disk, make_script(3, 30), 3);
  FakeDisk::Image image = disk.image();
  FakeDisk damaged;
  for (auto& [path, content] : image) content.at(4096 + 100) ^= 1;
  damaged.load(image);
  FakeExecutor executor;
  return !open_wal(damaged, executor, tiny_segments()).has_value();
}

TEST_F(WalMutant, NoneIsQuiet) {
  EXPECT_EQ(enumerate_crashes(4, 25), "");
  EXPECT_EQ(enumerate_failed_syncs(4, 25), "");
  EXPECT_TRUE(refuses_damage_in_the_middle());
}

TEST_F(WalMutant, D03IsFound) {
  active_mutant = Mutant::D03;
  EXPECT_FALSE(refuses_damage_in_the_middle());
}

TEST_F(WalMutant, D06IsFound) {
  active_mutant = Mutant::D06;
  EXPECT_NE(find_crash_problem(), "");
}

TEST_F(WalMutant, D08IsFound) {
  active_mutant = Mutant::D08;
  EXPECT_NE(enumerate_failed_syncs(11, 40), "");
}

TEST_F(WalMutant, P16IsFound) {
  active_mutant = Mutant::P16;
  EXPECT_NE(find_crash_problem(), "");
}

}  // namespace
}  // namespace storage::wal
}  // namespace quorate
