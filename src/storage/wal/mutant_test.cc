// Each planted bug of this room must be found by this room's own tests.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/mutant_report.h"
#include "storage/wal/log_oracle.h"
#include "storage/wal/recovery.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace storage::wal {
namespace {

class WalMutant : public testing::Test {
 protected:
  ~WalMutant() override {
    if (active_mutant != Mutant::none) report_mutant(active_mutant, !HasFailure());
    active_mutant = Mutant::none;
  }
};

std::string find_crash_problem() {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    std::string problem = enumerate_crashes(seed, 40);
    if (!problem.empty()) return problem;
  }
  return "";
}

// A sealed log and what it holds.
struct Log {
  explicit Log(uint64_t seed) {
    const auto script = make_script(seed, 60);
    run_script(disk, script, seed);
    expected = states_of(script).back();
    auto found = recover_log(disk, "wal");
    const auto& segment = found->segments.at(found->last_generation);
    newest = segment->path;
    end = found->last_end;
  }
  std::string lie(const FakeDisk::Image& image) const {
    FakeDisk damaged;
    damaged.load(image);
    return judge_damaged(damaged, expected, tiny_segments()).lie;
  }
  void clear(FakeDisk::Image& image, uint64_t first, uint64_t pages) const {
    image.at(newest).replace(first * kPageBytes, pages * kPageBytes, pages * kPageBytes, '\0');
  }

  FakeDisk disk;
  Model expected;
  std::string newest;
  uint64_t end = 0;
};

// Makes the seal one of format 1, which tells nothing.
void forget_state(std::string& segment, uint64_t offset) {
  const auto record = sight_record(segment, offset);
  if (!record || record->header.type != RecordType::seal) return;
  RecordHeader header = record->header;
  header.format = 0;
  Encoder out;
  const size_t start = begin_record(out);
  finish_record(out, start, header, offset);
  segment.replace(offset, out.size(), out.text());
}

// Any one page of the newest segment, or its end: the first lie.
std::string lie_about_damage() {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Log log(seed);
    const uint64_t pages = log.end / kPageBytes;
    for (uint64_t page = 1; page + 1 < pages; ++page) {
      for (const uint64_t count : {uint64_t{1}, pages - page}) {
        FakeDisk::Image image = log.disk.image();
        log.clear(image, page, count);
        if (count == 1) image.erase("wal/mark");  // it too would notice
        std::string lie = log.lie(image);
        if (!lie.empty()) return lie;
      }
    }
  }
  return "";
}

// Two losses at once: of a page, and of the records that tell what it held.
std::string lie_about_doubt() {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Log log(seed);
    for (uint64_t page = 1; (page + 1) * kPageBytes < log.end; ++page) {
      FakeDisk::Image image = log.disk.image();
      log.clear(image, page, 1);
      // The seal is there, but its record has no state to tell: as an older version wrote it.
      forget_state(image.at(log.newest), log.end - kPageBytes);
      std::string lie = log.lie(image);
      if (!lie.empty()) return lie;
    }
  }
  return "";
}

// The disk fills up somewhere in the script; the start after that finds no room at all.
std::string find_problem_of_a_full_disk() {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const auto script = make_script(seed, 60);
    const std::vector<Model> states = states_of(script);
    for (uint64_t room = 24 * 1024; room <= 96 * 1024; room += 24 * 1024) {
      FakeDisk disk;
      disk.space = room;
      const RunResult run = run_script(disk, script, seed);
      disk.space = 0;
      std::string problem = judge(disk, states, run.durable, run.appended).problem;
      if (!problem.empty()) return problem;
    }
  }
  return "";
}

TEST_F(WalMutant, NoneIsQuiet) {
  EXPECT_EQ(find_problem_of_a_full_disk(), "");
  EXPECT_EQ(enumerate_crashes(4, 25), "");
  EXPECT_EQ(enumerate_failed_syncs(4, 25), "");
  EXPECT_EQ(lie_about_damage(), "");
  EXPECT_EQ(lie_about_doubt(), "");
}

TEST_F(WalMutant, D03IsFound) {
  active_mutant = Mutant::D03;
  EXPECT_NE(lie_about_damage(), "");
}

TEST_F(WalMutant, D03_DOUBTIsFound) {
  active_mutant = Mutant::D03_DOUBT;
  EXPECT_NE(lie_about_doubt(), "");
}

TEST_F(WalMutant, D05IsFound) {
  active_mutant = Mutant::D05;
  EXPECT_NE(lie_about_damage(), "");
}

TEST_F(WalMutant, D06IsFound) {
  active_mutant = Mutant::D06;
  EXPECT_NE(find_crash_problem(), "");
}

TEST_F(WalMutant, D08IsFound) {
  active_mutant = Mutant::D08;
  EXPECT_NE(enumerate_failed_syncs(11, 40), "");
}

TEST_F(WalMutant, D11IsFound) {
  active_mutant = Mutant::D11;
  EXPECT_NE(find_problem_of_a_full_disk(), "");
}

TEST_F(WalMutant, D11_FULLIsFound) {
  active_mutant = Mutant::D11_FULL;
  EXPECT_NE(find_problem_of_a_full_disk(), "");
}

TEST_F(WalMutant, P16IsFound) {
  active_mutant = Mutant::P16;
  EXPECT_NE(find_crash_problem(), "");
}

TEST_F(WalMutant, D16_PLACEIsFound) {
  GroupState state;
  consensus::Write write;
  write.id = WriteId{1};
  consensus::Entry entry;
  entry.index = Index{1};
  entry.ballot = {1, {}};
  write.entries.push_back(entry);
  state.apply(write, false);
  consensus::Write repair;
  repair.id = WriteId{2};
  repair.repairs.push_back(entry);
  EXPECT_NE(state.broken_repair(repair), nullptr);
  active_mutant = Mutant::D16_PLACE;
  EXPECT_EQ(state.broken_repair(repair), nullptr);
}

}  // namespace
}  // namespace storage::wal
}  // namespace quorate
