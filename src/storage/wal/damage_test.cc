// Flipped bits, lost, misdirected and repeated writes, and plain garbage.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "storage/wal/log_oracle.h"
#include "storage/wal/recovery.h"
#include "storage/wal/stored_write.h"

namespace quorate::storage::wal {
namespace {

constexpr uint64_t kSegmentBytes = 65536;

consensus::Entry entry(uint64_t index, std::string data) {
  consensus::Entry made;
  made.index = Index{index};
  made.ballot = {1, {}};
  made.data = Bytes::adopt(std::move(data));
  return made;
}

// A log of one 64 KiB segment with a batch for each write.
struct Written {
  FakeDisk disk;
  FakeExecutor executor;
  std::string path;
  uint64_t writes = 0;
};

void fill_segment(Written& log, bool sealed) {
  WalOptions options = tiny_segments();
  options.segment_bytes = kSegmentBytes;
  auto opened = open_wal(log.disk, log.executor, options);
  ASSERT_TRUE(opened.has_value());
  Rng rng(1);
  // The last page is left for the seal.
  for (uint64_t id = 1; id <= 14; ++id) {
    consensus::Write write;
    write.id = WriteId{id};
    std::string data(id % 2 == 0 ? 3600 : 100, '\0');
    for (char& byte : data) byte = static_cast<char>(rng.below(256));
    write.entries.push_back(entry(id, std::move(data)));
    (*opened)->append(GroupId{1}, std::move(write));
    (*opened)->flush();
    log.executor.settle();
    log.writes = id;
  }
  if (sealed) log.executor.advance(std::chrono::seconds(1));
  opened->reset();
  log.executor.settle();
  // The spare file prepared meanwhile says nothing, nor, without a loss of the end, the mark.
  std::erase_if(log.disk.files, [](const auto& file) {
    return file.second->content.starts_with(std::string(8, '\0')) || file.first == "wal/mark";
  });
  ASSERT_EQ(log.disk.files.size(), 1U);
  log.path = log.disk.files.begin()->first;
  ASSERT_EQ(log.disk.files.begin()->second->content.size(), kSegmentBytes);
}

// What a log says of itself, without reading the entries again: recovery has verified those that
// have a position.
struct Said {
  bool refused = false;
  uint64_t last = 0;
  uint64_t damaged = 0;
  std::string lie;
};

Said compare(FakeDisk& disk, const GroupState& expected, const EntryPositions& places) {
  Said said;
  auto found = recover_log(disk, "wal");
  if (!found) {
    EXPECT_EQ(found.error().kind, ErrorKind::corrupt) << found.error().text;
    EXPECT_NE(found.error().text.find("data directory"), std::string::npos);
    said.refused = true;
    return said;
  }
  const auto group = found->groups.find(GroupId{1});
  if (group == found->groups.end()) return said;
  const GroupState& state = group->second.state;
  said.last = state.last.value;
  said.damaged = state.damaged.count();
  const auto same_runs = [](const consensus::BallotRun& left, const consensus::BallotRun& right) {
    return left.first == right.first && left.ballot == right.ballot;
  };
  if (state.hard_state != expected.hard_state) said.lie = "hard state";
  if (state.last != expected.last) said.lie = "last index";
  if (state.last_write != expected.last_write) said.lie = "last write";
  if (state.snapshot != expected.snapshot) said.lie = "snapshot";
  if (!std::ranges::equal(state.runs.list(), expected.runs.list(), same_runs)) said.lie = "ballots";
  for (Index index{1}; index <= expected.last; ++index) {
    const Position* place = group->second.positions.find(index);
    const Position* before = places.find(index);
    if (state.damaged.contains(index) != (place == nullptr)) said.lie = "damage";
    if (place != nullptr && (place->offset != before->offset || place->size != before->size ||
                             place->checksum != before->checksum)) {
      said.lie = "an entry";
    }
  }
  return said;
}

// D04, exhaustively: all 524,288 bits of a log of 64 KiB. A flipped bit costs at most the entries
// of its batch, and they are named.
TEST(WalDamage, EveryFlippedBitOfASealedLogIsNamedOrHarmless) {
  Written log;
  fill_segment(log, true);
  const FakeDisk::Image image = log.disk.image();
  const std::string original = image.at(log.path);
  ASSERT_EQ(original.size(), kSegmentBytes);
  auto whole = recover_log(log.disk, "wal");
  ASSERT_TRUE(whole.has_value());
  const RecoveredGroup& group = whole->groups.at(GroupId{1});
  FakeDisk disk;
  disk.load(image);
  std::string& content = disk.files.at(log.path)->content;
  uint64_t named = 0;
  uint64_t harmless = 0;
  for (uint64_t place = 0; place < content.size(); ++place) {
    for (int bit = 0; bit < 8; ++bit) {
      content[place] = static_cast<char>(original[place] ^ static_cast<char>(1 << bit));
      const Said said = compare(disk, group.state, group.positions);
      ASSERT_EQ(said.lie, "") << "byte " << place << " bit " << bit;
      ASSERT_FALSE(said.refused) << "byte " << place << " bit " << bit;
      ASSERT_LE(said.damaged, 1U);
      ++(said.damaged != 0 ? named : harmless);
    }
    content[place] = original[place];
  }
  EXPECT_EQ(named + harmless, uint64_t{524288});
  EXPECT_GT(named, 200000U);
}

// Without anything behind it the last batch cannot be told from one that was never synced: this
// is the window that the seal closes (docs/formats/wal.md).
TEST(WalDamage, AFlippedBitInTheLastBatchDropsThatBatchOnly) {
  Written log;
  fill_segment(log, false);
  auto whole = recover_log(log.disk, "wal");
  ASSERT_TRUE(whole.has_value());
  const RecoveredGroup& group = whole->groups.at(GroupId{1});
  std::string& content = log.disk.files.at(log.path)->content;
  const std::string original = content;
  const uint64_t last_batch = 14 * kPageBytes;
  uint64_t dropped = 0;
  for (uint64_t place = kPageBytes; place < kSegmentBytes; place += 7) {
    content[place] = static_cast<char>(content[place] ^ 4);
    const Said said = compare(log.disk, group.state, group.positions);
    ASSERT_FALSE(said.refused) << place;
    if (place < last_batch) {
      ASSERT_EQ(said.lie, "") << place;
    } else if (!said.lie.empty()) {
      ASSERT_EQ(said.last, log.writes - 1) << place;
      ++dropped;
    }
    content[place] = original[place];
  }
  EXPECT_GT(dropped, 10U);
}

TEST(WalDamage, LostMisdirectedAndRepeatedBatchesAreNamed) {
  Written log;
  fill_segment(log, true);
  auto whole = recover_log(log.disk, "wal");
  ASSERT_TRUE(whole.has_value());
  const RecoveredGroup& group = whole->groups.at(GroupId{1});
  std::string& content = log.disk.files.at(log.path)->content;
  const std::string original = content;
  const auto expect_named = [&](const std::string& what) {
    const Said said = compare(log.disk, group.state, group.positions);
    EXPECT_EQ(said.lie, "") << what;
    EXPECT_FALSE(said.refused) << what;
    EXPECT_EQ(said.damaged, 1U) << what;
    content = original;
  };
  for (uint64_t page = 1; page <= 14; ++page) {
    content.replace(page * kPageBytes, kPageBytes, std::string(kPageBytes, '\0'));
    expect_named("lost " + std::to_string(page));
    for (uint64_t other = 1; other <= 15; ++other) {
      if (other == page) continue;
      content.replace(page * kPageBytes, kPageBytes, original, other * kPageBytes, kPageBytes);
      expect_named(std::to_string(other) + " over " + std::to_string(page));
    }
  }
}

TEST(WalDamage, AnotherFormatIsNamed) {
  FakeDisk disk;
  run_script(disk, make_script(5, 5), 5);
  auto& content = disk.files.at("wal/1.wal")->content;
  Encoder header;
  header.raw(std::string_view(content).substr(0, 8));
  header.u32(99);
  header.u64(1);
  header.u32(crc32c(header.text()));
  content.replace(0, header.size(), header.text());
  const auto found = recover_log(disk, "wal");
  ASSERT_FALSE(found.has_value());
  EXPECT_NE(found.error().text.find("99"), std::string::npos);
}

TEST(WalDamage, GarbageNeverCrashes) {
  FakeDisk disk;
  const auto script = make_script(6, 60);
  run_script(disk, script, 6);
  const FakeDisk::Image image = disk.image();
  Rng rng(3);
  for (int round = 0; round < 4000; ++round) {
    FakeDisk::Image damaged = image;
    for (auto& [path, content] : damaged) {
      for (uint64_t wounds = rng.below(4); wounds > 0 && !content.empty(); --wounds) {
        const size_t place = rng.below(content.size());
        switch (rng.below(4)) {
          case 0:
            content.resize(place);
            break;
          case 1:
            content[place] = static_cast<char>(rng.below(256));
            break;
          case 2:
            content.replace(place, 16, std::string(16, static_cast<char>(rng.below(256))));
            break;
          default: {
            const size_t from = rng.below(content.size()) / kPageBytes * kPageBytes;
            content.replace(place / kPageBytes * kPageBytes, kPageBytes,
                            std::string(content.substr(from, kPageBytes)));
          }
        }
      }
    }
    FakeDisk copy;
    copy.load(damaged);
    FakeExecutor executor;
    (void)open_wal(copy, executor, tiny_segments());
  }
}

TEST(WalDamage, RecordsOfGarbageAreNotBelieved) {
  Rng rng(9);
  for (int round = 0; round < 20000; ++round) {
    std::string content(512, '\0');
    for (char& byte : content) byte = static_cast<char>(rng.below(256));
    for (uint64_t offset = 0; offset < content.size(); offset += kRecordAlignment) {
      EXPECT_FALSE(parse_record(content, offset, 1).has_value());
    }
    (void)decode_state(content);
    (void)decode_old_checkpoint(content);
    Record record;
    record.payload = std::string_view(content);
    for (const uint32_t front : {0U, 100U}) {
      record.header.format = front == 0 ? 0 : kRecordFormat;
      record.header.front = front;
      (void)decode_write(record, Bytes(std::string_view(content)));
    }
  }
}

}  // namespace
}  // namespace quorate::storage::wal
