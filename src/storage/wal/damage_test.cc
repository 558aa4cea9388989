// Flipped bits, lost, misdirected and repeated writes, and plain garbage.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "storage/wal/log_oracle.h"
#include "storage/wal/recovery.h"

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
  auto opened = open_wal(log.disk, log.executor, {"wal", kSegmentBytes, size_t{1} << 20U});
  ASSERT_TRUE(opened.has_value());
  Rng rng(1);
  // The last page is left for the seal.
  for (uint64_t id = 1; id <= 14; ++id) {
    consensus::Write write;
    write.id = WriteId{id};
    std::string data(id % 2 == 0 ? 3900 : 100, '\0');
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
  // The spare file prepared meanwhile says nothing.
  std::erase_if(log.disk.files, [](const auto& file) {
    return file.second->content.starts_with(std::string(8, '\0'));
  });
  ASSERT_EQ(log.disk.files.size(), 1U);
  log.path = log.disk.files.begin()->first;
  ASSERT_EQ(log.disk.files.begin()->second->content.size(), kSegmentBytes);
}

// What the log says with these bytes: the last index, or nothing if it refuses.
std::optional<uint64_t> reopen(FakeDisk& disk) {
  auto found = recover_log(disk, "wal");
  if (!found) {
    EXPECT_EQ(found.error().kind, ErrorKind::corrupt) << found.error().text;
    EXPECT_NE(found.error().text.find("data directory"), std::string::npos);
    return std::nullopt;
  }
  const auto group = found->groups.find(GroupId{1});
  return group == found->groups.end() ? 0 : group->second.state.last.value;
}

bool covered(std::string_view segment, uint64_t place, uint64_t end) {
  if (place < 24) return true;  // the header
  for (uint64_t offset = kPageBytes; offset < end;) {
    const auto record = sight_record(segment, offset);
    if (!record) return false;
    const uint64_t stop = record->payload_offset + record->payload.size();
    if (place >= offset && place < stop) return true;
    offset = record->next;
  }
  return false;
}

// D04, exhaustively: a flipped bit in anything that counts is refused; in padding it is harmless.
TEST(WalDamage, EveryFlippedBitOfASealedLogIsRefusedOrHarmless) {
  Written log;
  fill_segment(log, true);
  const FakeDisk::Image image = log.disk.image();
  const std::string original = image.at(log.path);
  auto whole = recover_log(log.disk, "wal");
  ASSERT_TRUE(whole.has_value());
  const uint64_t end = whole->last_end;
  const uint64_t seal = end - kPageBytes;
  FakeDisk disk;
  disk.load(image);
  std::string& content = disk.files.at(log.path)->content;
  uint64_t refused = 0;
  for (uint64_t place = 0; place < content.size(); ++place) {
    const bool counts = covered(original, place, end) && place < seal;
    // In the middle of an entry's data all eight bits of a byte fare alike: one is tried.
    const bool inside = place % kPageBytes > 256;
    for (int bit = 0; bit < (inside ? 1 : 8); ++bit) {
      const auto mask = static_cast<char>(1 << (inside ? place % 8 : static_cast<uint64_t>(bit)));
      content[place] = static_cast<char>(content[place] ^ mask);
      const auto last = reopen(disk);
      if (counts) {
        ASSERT_FALSE(last.has_value()) << "byte " << place << " bit " << bit;
        ++refused;
      } else {
        ASSERT_EQ(last, log.writes) << "byte " << place << " bit " << bit;
      }
      content = original;
    }
  }
  EXPECT_GT(refused, 20000U);
}

// Without anything behind it the last batch cannot be told from one that was never synced: this
// is the window that the seal closes (docs/formats/wal.md).
TEST(WalDamage, AFlippedBitInTheLastBatchDropsThatBatchOnly) {
  Written log;
  fill_segment(log, false);
  std::string& content = log.disk.files.at(log.path)->content;
  const std::string original = content;
  const uint64_t last_batch = 14 * kPageBytes;
  for (uint64_t place = kPageBytes; place < last_batch + 200; place += 7) {
    if (!covered(original, place, kSegmentBytes)) continue;
    content[place] = static_cast<char>(content[place] ^ 4);
    const auto last = reopen(log.disk);
    if (place < last_batch) {
      ASSERT_FALSE(last.has_value()) << place;
    } else {
      ASSERT_EQ(last, log.writes - 1) << place;
    }
    content = original;
  }
}

TEST(WalDamage, LostMisdirectedAndRepeatedBatchesAreRefused) {
  Written log;
  fill_segment(log, true);
  std::string& content = log.disk.files.at(log.path)->content;
  const std::string original = content;
  for (uint64_t page = 1; page <= 13; ++page) {
    content.replace(page * kPageBytes, kPageBytes, std::string(kPageBytes, '\0'));
    EXPECT_FALSE(reopen(log.disk).has_value()) << "lost " << page;
    content = original;
    for (uint64_t other = 1; other <= 14; ++other) {
      if (other == page) continue;
      content.replace(page * kPageBytes, kPageBytes, original, other * kPageBytes, kPageBytes);
      EXPECT_FALSE(reopen(log.disk).has_value()) << other << " over " << page;
      content = original;
    }
  }
}

TEST(WalDamage, AMissingSegmentIsRefused) {
  FakeDisk disk;
  const auto script = make_script(5, 60);
  ASSERT_EQ(run_script(disk, script, 5).durable, script.size());
  auto found = recover_log(disk, "wal");
  ASSERT_TRUE(found.has_value());
  const FakeDisk::Image image = disk.image();
  size_t needed = 0;
  for (const auto& [generation, segment] : found->segments) {
    if (generation == found->last_generation) continue;  // nothing behind it names it
    ++needed;
    for (const bool header_only : {false, true}) {
      FakeDisk::Image damaged = image;
      if (header_only) {
        damaged.at(segment->path).at(10) ^= 1;
      } else {
        damaged.erase(segment->path);
      }
      FakeDisk copy;
      copy.load(damaged);
      EXPECT_FALSE(reopen(copy).has_value()) << segment->path;
    }
  }
  EXPECT_GT(needed, 0U);
}

TEST(WalDamage, AnotherFormatIsNamed) {
  FakeDisk disk;
  run_script(disk, make_script(5, 5), 5);
  auto& content = disk.files.begin()->second->content;
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
    (void)decode_checkpoint(content);
    Record record;
    record.payload = std::string_view(content);
    (void)decode_write(record, Bytes(std::string_view(content)));
  }
}

}  // namespace
}  // namespace quorate::storage::wal
