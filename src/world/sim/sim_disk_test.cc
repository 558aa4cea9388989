#include "world/sim/sim_disk.h"

#include <gtest/gtest.h>

#include <set>

namespace quorate::world {
namespace {

constexpr int kSeeds = 1000;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Fixture {
  explicit Fixture(uint64_t seed) : disk(Rng(seed), trace) {}
  std::unique_ptr<File> create(const std::string& path) {
    return std::move(disk.open(path, OpenMode::create).value());
  }
  // "absent" when there is no such file.
  std::string content(const std::string& path) {
    auto file = disk.open(path, OpenMode::read);
    if (!file.has_value()) return "absent";
    std::string text((*file)->size().value(), '?');
    std::span<uint8_t> target(reinterpret_cast<uint8_t*>(text.data()), text.size());
    EXPECT_EQ((*file)->read_at(0, target).value(), text.size());
    return text;
  }
  TraceHash trace;
  SimDisk disk;
};

void write(File& file, uint64_t offset, std::string_view text) {
  ASSERT_TRUE(file.write_at(offset, bytes_of(text)).has_value());
}

TEST(SimDisk, BehavesAsAFileSystemWhileThePowerIsOn) {
  Fixture fixture(1);
  SimDisk& disk = fixture.disk;
  ASSERT_TRUE(disk.make_directory("/data/wal").has_value());
  ASSERT_TRUE(disk.make_directory("/data/wal/").has_value());
  auto file = fixture.create("/data/wal/b");
  write(*file, 2, "xy");
  EXPECT_EQ(fixture.content("/data/wal/b"), std::string("\0\0xy", 4));
  EXPECT_FALSE(disk.open("/data/wal/b", OpenMode::create).has_value());
  EXPECT_EQ(disk.open("/data/wal/c", OpenMode::read_write).error().kind, ErrorKind::not_found);
  ASSERT_TRUE(disk.rename("/data/wal/b", "/data/a").has_value());
  EXPECT_EQ(disk.list("/data").value(), (std::vector<std::string>{"a", "wal"}));
  ASSERT_TRUE(file->truncate(3).has_value());  // the handle follows the file
  EXPECT_EQ(fixture.content("data/a"), std::string("\0\0x", 3));
  auto lock = disk.lock("/data");
  EXPECT_EQ(disk.lock("/data").error().kind, ErrorKind::conflict);
  lock->reset();
  EXPECT_TRUE(disk.lock("/data").has_value());
  ASSERT_TRUE(disk.remove_tree("/data").has_value());
  EXPECT_FALSE(disk.exists("/data"));
  ASSERT_TRUE(disk.remove_tree("/data").has_value());
}

TEST(SimDisk, ThePowerCutKeepsWhatIsSyncedAndAnyPartOfTheRest) {
  const std::string one(kSectorBytes, '1');
  const std::string two(kSectorBytes, '2');
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Fixture fixture(seed);
    auto file = fixture.create("/f");
    write(*file, 0, "synced");
    ASSERT_TRUE(file->sync_data().has_value());
    ASSERT_TRUE(fixture.disk.sync_directory("/").has_value());
    write(*file, 0, "small!");              // within one sector: whole or not at all
    write(*file, kSectorBytes, one + two);  // may tear between its sectors
    fixture.disk.power_off();
    EXPECT_FALSE(file->size().has_value()) << "a handle of before the crash";
    const std::string text = fixture.content("/f");
    const std::string start = text.substr(0, 6);
    EXPECT_TRUE(start == "synced" || start == "small!") << start;
    std::string shape = start == "small!" ? "S" : "-";
    for (size_t sector = 1; sector <= 2; ++sector) {
      const size_t begin = sector * kSectorBytes;
      if (text.size() <= begin) continue;
      ASSERT_GE(text.size(), begin + kSectorBytes);
      const std::string got = text.substr(begin, kSectorBytes);
      const bool written = got == (sector == 1 ? one : two);
      EXPECT_TRUE(written || got == std::string(kSectorBytes, '\0'));
      shape += written ? 'w' : '0';
    }
    seen.insert(shape);
  }
  // Each write whole, lost, and torn on either side, independently of each other.
  for (const char* shape : {"-", "S", "-ww", "Sww", "-w", "-0w"}) {
    EXPECT_TRUE(seen.contains(shape)) << shape;
  }
}

TEST(SimDisk, NamesAreDurableOnlyOnceTheirDirectoryIsSynced) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Fixture fixture(seed);
    SimDisk& disk = fixture.disk;
    ASSERT_TRUE(disk.make_directory("/d").has_value());
    for (const char* name : {"/d/kept", "/d/renamed", "/d/removed"}) {
      auto file = fixture.create(name);
      write(*file, 0, name);
      ASSERT_TRUE(file->sync_data().has_value());
    }
    ASSERT_TRUE(disk.sync_directory("/d").has_value());
    ASSERT_TRUE(fixture.create("/d/created")->sync_data().has_value());
    ASSERT_TRUE(disk.rename("/d/renamed", "/d/target").has_value());
    ASSERT_TRUE(disk.remove("/d/removed").has_value());
    disk.power_off();
    EXPECT_EQ(fixture.content("/d/kept"), "/d/kept");
    // A rename happens or does not; the file is never in both places or in none.
    EXPECT_NE(disk.exists("/d/renamed"), disk.exists("/d/target"));
    const std::string moved = disk.exists("/d/target") ? "/d/target" : "/d/renamed";
    EXPECT_EQ(fixture.content(moved), "/d/renamed");
    seen.insert(std::string(disk.exists("/d/created") ? "c" : "-") +
                (moved == "/d/target" ? "r" : "-") + (disk.exists("/d/removed") ? "-" : "d"));
  }
  EXPECT_EQ(seen.size(), 8U) << "every combination is possible";
}

TEST(SimDisk, ASyncedDirectoryKeepsItselfAndEveryNameInOrder) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Fixture fixture(seed);
    SimDisk& disk = fixture.disk;
    ASSERT_TRUE(disk.make_directory("/a/b").has_value());
    write(*fixture.create("/a/b/old"), 0, "1");
    auto next = fixture.create("/a/b/new");
    write(*next, 0, "2");
    ASSERT_TRUE(next->sync_data().has_value());
    ASSERT_TRUE(disk.rename("/a/b/new", "/a/b/old").has_value());
    ASSERT_TRUE(disk.sync_directory("/a/b").has_value());
    disk.power_off();
    EXPECT_EQ(fixture.content("/a/b/old"), "2");
    EXPECT_FALSE(disk.exists("/a/b/new"));
    // Nothing of before comes back with the next crash.
    disk.power_off();
    EXPECT_EQ(fixture.content("/a/b/old"), "2");
  }
}

// Replaces /d/f by the usual steps; the number of steps that succeeded.
int replace_safely(Fixture& fixture, const std::string& text, bool sync_before_rename) {
  SimDisk& disk = fixture.disk;
  if (disk.exists("/d/temporary") && !disk.remove("/d/temporary").has_value()) return 0;
  auto file = disk.open("/d/temporary", OpenMode::create);
  if (!file.has_value()) return 1;
  if (!(*file)->write_at(0, bytes_of(text)).has_value()) return 2;
  if (sync_before_rename && !(*file)->sync_data().has_value()) return 3;
  if (!disk.rename("/d/temporary", "/d/f").has_value()) return 4;
  return disk.sync_directory("/d").has_value() ? 6 : 5;
}

// How often a crash at every single step left neither the old nor the new content.
int broken_replacements(bool sync_before_rename) {
  const std::string before(3 * kSectorBytes, 'b');
  const std::string after(3 * kSectorBytes, 'a');
  int broken = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    for (uint64_t crash_at = 1; crash_at <= 7; ++crash_at) {
      Fixture fixture(seed);
      EXPECT_TRUE(fixture.disk.make_directory("/d").has_value());
      EXPECT_EQ(replace_safely(fixture, before, true), 6);
      fixture.disk.crash_after_operations(crash_at);
      const int steps = replace_safely(fixture, after, sync_before_rename);
      const bool acknowledged = steps == 6;
      EXPECT_EQ(fixture.disk.crashed(), !acknowledged);
      fixture.disk.power_off();
      const std::string text = fixture.content("/d/f");
      const bool right = text == after || (text == before && !acknowledged);
      broken += right ? 0 : 1;
    }
  }
  return broken;
}

TEST(SimDisk, ACrashAtAnyStepSparesTheCarefulAndFindsTheCareless) {
  EXPECT_EQ(broken_replacements(true), 0);
  EXPECT_GT(broken_replacements(false), 0);
}

TEST(SimDisk, ADeadDiskDoesNothingMore) {
  Fixture fixture(5);
  auto file = fixture.create("/f");
  fixture.disk.crash_after_operations(2);
  EXPECT_TRUE(file->write_at(0, bytes_of("a")).has_value());
  EXPECT_FALSE(fixture.disk.crashed());
  EXPECT_EQ(file->write_at(1, bytes_of("b")).error().kind, ErrorKind::io);
  EXPECT_TRUE(fixture.disk.crashed());
  EXPECT_FALSE(file->sync_data().has_value());
  EXPECT_FALSE(fixture.disk.list("/").has_value());
  fixture.disk.power_off();
  EXPECT_FALSE(fixture.disk.crashed());
  EXPECT_TRUE(fixture.disk.list("/").has_value());
}

TEST(SimDisk, AFailedSyncIsNotHealedByTheNextOne) {
  int lost = 0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Fixture fixture(seed);
    auto file = fixture.create("/f");
    ASSERT_TRUE(fixture.disk.sync_directory("/").has_value());
    write(*file, 0, "data");
    fixture.disk.fail_next_sync();
    EXPECT_FALSE(file->sync_data().has_value());
    EXPECT_TRUE(file->sync_data().has_value());
    EXPECT_EQ(fixture.content("/f"), "data");  // still in the cache
    fixture.disk.power_off();
    lost += fixture.content("/f") == "data" ? 0 : 1;
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, kSeeds);
}

TEST(SimDisk, AKilledProcessLosesItsHandlesOnly) {
  Fixture fixture(9);
  auto file = fixture.create("/f");
  auto lock = fixture.disk.lock("/");
  write(*file, 0, "unsynced");
  fixture.disk.kill();
  EXPECT_FALSE(file->size().has_value());
  EXPECT_EQ(fixture.content("/f"), "unsynced");
  auto again = fixture.disk.lock("/");
  ASSERT_TRUE(again.has_value());
  lock->reset();  // of the dead process: releases nothing
  EXPECT_FALSE(fixture.disk.lock("/").has_value());
}

TEST(SimDisk, SpaceRunsOutAndBytesRot) {
  Fixture fixture(9);
  auto file = fixture.create("/f");
  fixture.disk.set_space(10);
  write(*file, 0, "12345678");
  EXPECT_EQ(fixture.disk.free_bytes("/").value(), 2U);
  EXPECT_EQ(file->write_at(8, bytes_of("abc")).error().kind, ErrorKind::no_space);
  write(*file, 0, "overwrite!");
  EXPECT_FALSE(fixture.disk.corrupt("/f", 0, 0x20)) << "not on the platter yet";
  ASSERT_TRUE(file->sync_data().has_value());
  EXPECT_TRUE(fixture.disk.corrupt("/f", 0, 0x20));
  EXPECT_EQ(fixture.content("/f"), "Overwrite!");
  EXPECT_FALSE(fixture.disk.corrupt("/f", 100, 1));
  fixture.disk.wipe();
  EXPECT_FALSE(fixture.disk.exists("/f"));
}

// ---- What real file systems leave.

// A file of one synced page of '0' grows by a page of '1' and its first page becomes '2'.
std::string grown_file(FileSystem kind, uint64_t seed) {
  Fixture fixture(seed);
  fixture.disk.set_file_system(kind);
  auto file = fixture.create("/f");
  write(*file, 0, std::string(kPageBytes, '0'));
  EXPECT_TRUE(file->sync_data().has_value());
  write(*file, kPageBytes, std::string(kPageBytes, '1'));
  write(*file, 0, std::string(kPageBytes, '2'));
  fixture.disk.power_off();
  const std::string text = fixture.content("/f");
  if (text == "absent") return text;
  std::string shape;
  for (size_t begin = 0; begin < text.size(); begin += kPageBytes) {
    const std::string page = text.substr(begin, kPageBytes);
    if (page == std::string(page.size(), page[0])) {
      shape += page[0] == '\0' ? '-' : page[0];
    } else {
      shape += '~';
    }
    if (page.size() < kPageBytes) shape += '.';
  }
  return shape;
}

std::set<std::string> grown_files(FileSystem kind) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 3 * kSeeds; ++seed) seen.insert(grown_file(kind, seed));
  return seen;
}

TEST(SimDisk, ASizeRunsAheadOfItsDataOnlyWhereItMay) {
  const auto ordered = grown_files(FileSystem::ext4_ordered);
  EXPECT_EQ(ordered, (std::set<std::string>{"0", "2", "~", "01", "21", "~1"}));
  const auto writeback = grown_files(FileSystem::ext4_writeback);
  EXPECT_TRUE(writeback.contains("0-") && writeback.contains("2-") && writeback.contains("01"));
  const auto xfs = grown_files(FileSystem::xfs);
  EXPECT_TRUE(xfs.contains("0") && xfs.contains("2") && xfs.contains("01") && xfs.contains("21"));
  EXPECT_FALSE(xfs.contains("0-")) << "the size follows the data";
}

TEST(SimDisk, AJournalKeepsNamesInOrder) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Fixture fixture(seed);
    fixture.disk.set_file_system(FileSystem::ext4_ordered);
    for (const char* name : {"/a", "/b", "/c"}) fixture.create(name);
    fixture.disk.power_off();
    std::string names;
    const auto listed = fixture.disk.list("/");
    for (const std::string& name : *listed) names += name;
    seen.insert(names);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"", "a", "ab", "abc"}));
  // The sync of any grown file commits the journal.
  Fixture fixture(1);
  fixture.disk.set_file_system(FileSystem::xfs);
  fixture.create("/first");
  auto file = fixture.create("/second");
  write(*file, 0, "x");
  ASSERT_TRUE(file->sync_data().has_value());
  for (int times = 0; times < 20; ++times) fixture.disk.power_off();
  EXPECT_TRUE(fixture.disk.exists("/first"));
  EXPECT_EQ(fixture.content("/second"), "x");
}

// ---- Damage.

struct Written : Fixture {  // three sectors, each written twice
  Written() : Fixture(3), file(create("/f")) {
    for (const char letter : {'a', 'A'}) {
      for (char sector = 0; sector < 3; ++sector) {
        const auto fill = static_cast<char>(letter + sector);
        write(*file, static_cast<uint64_t>(sector) * kSectorBytes, std::string(kSectorBytes, fill));
      }
      EXPECT_TRUE(file->sync_data().has_value());
    }
    EXPECT_TRUE(disk.sync_directory("/").has_value());
  }
  std::string letters() {
    const std::string text = content("/f");
    std::string result;
    for (size_t begin = 0; begin < text.size(); begin += kSectorBytes) {
      EXPECT_EQ(text.substr(begin, kSectorBytes), std::string(kSectorBytes, text[begin]));
      result += text[begin];
    }
    return result;
  }
  std::unique_ptr<File> file;
};

TEST(SimDisk, WritesGetLostAndGoAstraySectorBySector) {
  Written lost;
  EXPECT_EQ(lost.letters(), "ABC");
  EXPECT_TRUE(lost.disk.lose_write("/f", 1));
  EXPECT_EQ(lost.letters(), "AbC");
  EXPECT_FALSE(lost.disk.lose_write("/f", 3));
  EXPECT_FALSE(lost.disk.lose_write("/none", 0));
  Written astray;
  EXPECT_TRUE(astray.disk.misdirect("/f", 0, 2, true));
  EXPECT_EQ(astray.letters(), "aBA");
  Written twice;
  EXPECT_TRUE(twice.disk.misdirect("/f", 0, 2, false));
  EXPECT_EQ(twice.letters(), "ABA");
  twice.disk.power_off();
  EXPECT_EQ(twice.letters(), "ABA");
  // What will be written again is spared.
  write(*twice.create("/g"), 0, "x");
  EXPECT_FALSE(twice.disk.lose_write("/g", 0));
}

TEST(SimDisk, ReadsAreStaleForAWhileOrFailUntilWrittenAgain) {
  Written disk;
  EXPECT_TRUE(disk.disk.stale_reads("/f", 1, 2));
  EXPECT_EQ(disk.letters(), "AbC");
  EXPECT_EQ(disk.letters(), "AbC");
  EXPECT_EQ(disk.letters(), "ABC");
  EXPECT_TRUE(disk.disk.make_unreadable("/f", 2));
  uint8_t byte = 0;
  EXPECT_TRUE(disk.file->read_at(0, {&byte, 1}).has_value());
  EXPECT_EQ(disk.file->read_at(2 * kSectorBytes, {&byte, 1}).error().kind, ErrorKind::io);
  write(*disk.file, 2 * kSectorBytes, std::string(kSectorBytes, 'z'));
  ASSERT_TRUE(disk.file->sync_data().has_value());
  EXPECT_EQ(disk.letters(), "ABz");
}

TEST(SimDisk, ACopyIsWhatWasDurable) {
  Written disk;
  write(*disk.file, 0, "unsynced");
  TraceHash trace;
  SimDisk copy(Rng(1), trace);
  copy.copy_from(disk.disk);
  uint8_t byte = 0;
  auto file = copy.open("/f", OpenMode::read);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ((*file)->read_at(0, {&byte, 1}).value(), 1U);
  EXPECT_EQ(byte, 'A');
  const auto stored = disk.disk.stored();
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].path, "/f");
  EXPECT_EQ(stored[0].last_sync_end, 3 * kSectorBytes);
}

}  // namespace
}  // namespace quorate::world
