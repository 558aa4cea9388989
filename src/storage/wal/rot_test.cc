// Damage takes content, never identity (docs/decisions/0013): whatever pages are lost, the log
// says what is lost, or it says nothing at all.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "storage/wal/log_oracle.h"
#include "storage/wal/recovery.h"
#include "storage/wal/segment_chain.h"

namespace quorate::storage::wal {
namespace {

// A sealed log of several segments, and what it holds.
struct Sealed {
  explicit Sealed(uint64_t seed, size_t steps = 60) {
    const auto script = make_script(seed, steps);
    EXPECT_EQ(run_script(disk, script, seed).durable, script.size());
    expected = states_of(script).back();
    image = disk.image();
    auto found = recover_log(disk, "wal");
    EXPECT_TRUE(found.has_value());
    for (const auto& [generation, segment] : found->segments) {
      const bool last = generation == found->last_generation;
      ends[segment->path] = last ? found->last_end : segment->end;
    }
  }

  Truth judge(const FakeDisk::Image& damaged) const {
    FakeDisk copy;
    copy.load(damaged);
    return judge_damaged(copy, expected, tiny_segments());
  }

  FakeDisk disk;
  Model expected;
  FakeDisk::Image image;
  std::map<std::string, uint64_t> ends;  // of the segments in use
};

enum class Wound : uint8_t { zeros, flip, garbage, other_page, kinds };

void wound_page(std::string& content, uint64_t page, Wound wound, Rng& rng) {
  const uint64_t begin = page * kPageBytes;
  switch (wound) {
    case Wound::zeros:
      content.replace(begin, kPageBytes, kPageBytes, '\0');
      break;
    case Wound::flip: {
      // Where something is: records begin at the page's beginning.
      char& byte = content[begin + rng.below(200)];
      byte = static_cast<char>(byte ^ static_cast<char>(1 << rng.below(8)));
      break;
    }
    case Wound::garbage:
      for (uint64_t place = begin; place < begin + kPageBytes; ++place) {
        content[place] = static_cast<char>(rng.below(256));
      }
      break;
    case Wound::other_page:
    case Wound::kinds: {
      const uint64_t from = rng.below(content.size() / kPageBytes) * kPageBytes;
      const std::string other = content.substr(from, kPageBytes);
      content.replace(begin, kPageBytes, other);
    }
  }
}

// Any single page, header pages and checkpoints included: the log always says what is lost, and
// that is never more than the page can have held. (The seal's page holds nothing.)
TEST(WalRot, NoSinglePageTakesMoreThanItsEntries) {
  uint64_t pages = 0;
  uint64_t damaged = 0;
  Rng rng(1);
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const Sealed log(seed);
    for (const auto& [path, end] : log.ends) {
      for (uint64_t page = 0; page * kPageBytes < end; ++page) {
        for (uint64_t kind = 0; kind < static_cast<uint64_t>(Wound::kinds); ++kind) {
          FakeDisk::Image image = log.image;
          wound_page(image.at(path), page, static_cast<Wound>(kind), rng);
          const Truth truth = log.judge(image);
          const std::string where = "seed " + std::to_string(seed) + " " + path + " page " +
                                    std::to_string(page) + " wound " + std::to_string(kind);
          ASSERT_EQ(truth.lie, "") << where;
          ASSERT_FALSE(truth.refused) << where;
          damaged += truth.damaged;
          ++pages;
        }
      }
    }
  }
  EXPECT_GT(pages, 500U);
  EXPECT_GT(damaged, 200U);
}

// Longer stretches, and several at once. What was lost may become uncertain; then nothing is said.
TEST(WalRot, StretchesOfPagesNeverMakeItLie) {
  Rng rng(2);
  uint64_t refused = 0;
  uint64_t told = 0;
  for (uint64_t seed = 21; seed <= 32; ++seed) {
    const Sealed log(seed, 80);
    for (int round = 0; round < 150; ++round) {
      FakeDisk::Image image = log.image;
      for (uint64_t stretch = rng.between(1, 3); stretch > 0; --stretch) {
        auto place =
            std::next(log.ends.begin(), static_cast<std::ptrdiff_t>(rng.below(log.ends.size())));
        std::string& content = image.at(place->first);
        const uint64_t pages = place->second / kPageBytes;
        const uint64_t first = rng.below(pages);
        const uint64_t count = rng.between(1, 6);
        const auto wound = static_cast<Wound>(rng.below(static_cast<uint64_t>(Wound::kinds)));
        for (uint64_t page = first; page < std::min(pages, first + count); ++page) {
          wound_page(content, page, wound, rng);
        }
      }
      const Truth truth = log.judge(image);
      ASSERT_EQ(truth.lie, "") << "seed " << seed << " round " << round;
      ++(truth.refused ? refused : told);
    }
  }
  EXPECT_GT(told, 1000U);
  EXPECT_GT(refused, 20U) << "the end of a log is lost now and then";
}

TEST(WalRot, AMissingSegmentIsKnownByWhatFollows) {
  uint64_t missing = 0;
  for (uint64_t seed = 41; seed <= 52; ++seed) {
    const Sealed log(seed, 80);
    for (const auto& [path, end] : log.ends) {
      FakeDisk::Image image = log.image;
      image.erase(path);
      const Truth truth = log.judge(image);
      ASSERT_EQ(truth.lie, "") << seed << " " << path;
      const bool newest = path == [&] {
        FakeDisk copy;
        copy.load(log.image);
        auto found = recover_log(copy, "wal");
        return found->segments.at(found->last_generation)->path;
      }();
      // D05: the newest file is named by the mark alone, which does not say what was in it.
      ASSERT_EQ(truth.refused, newest) << seed << " " << path;
      ++missing;
    }
  }
  EXPECT_GT(missing, 20U);
}

TEST(WalRot, TheLostEndOfALogIsNoticed) {
  for (uint64_t seed = 61; seed <= 70; ++seed) {
    const Sealed log(seed);
    FakeDisk copy;
    copy.load(log.image);
    auto found = recover_log(copy, "wal");
    const std::string path = found->segments.at(found->last_generation)->path;
    for (uint64_t pages = 2; pages * kPageBytes < found->last_end; ++pages) {
      FakeDisk::Image image = log.image;
      // The last batch and the seal behind it, and so on backwards.
      image.at(path).replace(found->last_end - pages * kPageBytes, pages * kPageBytes,
                             pages * kPageBytes, '\0');
      const Truth truth = log.judge(image);
      ASSERT_EQ(truth.lie, "");
      ASSERT_TRUE(truth.refused) << seed << " " << pages;
    }
    // Without the mark, which is one more loss, it would only be shorter.
    FakeDisk::Image image = log.image;
    EXPECT_EQ(image.erase("wal/mark"), 1U);
    EXPECT_EQ(log.judge(image).lie, "");
  }
}

TEST(WalRot, AnUnreadablePageCostsItsEntriesOnly) {
  Sealed log(5);
  for (const auto& [path, end] : log.ends) {
    for (uint64_t page = 0; page * kPageBytes < end; ++page) {
      FakeDisk copy;
      copy.load(log.image);
      copy.unreadable.emplace(path, page * kPageBytes + 512);
      const Truth truth = judge_damaged(copy, log.expected, tiny_segments());
      ASSERT_EQ(truth.lie, "") << path << " " << page;
      ASSERT_FALSE(truth.refused) << path << " " << page;
    }
  }
}

// After damage the log goes on, what is put back stays, and the next start knows all of it.
TEST(WalRot, RepairsAreKept) {
  Rng rng(7);
  uint64_t repaired = 0;
  for (uint64_t seed = 81; seed <= 100; ++seed) {
    const Sealed log(seed);
    for (int round = 0; round < 12; ++round) {
      FakeDisk::Image image = log.image;
      for (uint64_t wounds = rng.between(1, 4); wounds > 0; --wounds) {
        auto place =
            std::next(log.ends.begin(), static_cast<std::ptrdiff_t>(rng.below(log.ends.size())));
        wound_page(image.at(place->first), rng.below(place->second / kPageBytes), Wound::garbage,
                   rng);
      }
      FakeDisk disk;
      disk.load(image);
      FakeExecutor executor;
      Model expected = log.expected;
      {
        auto opened = open_wal(disk, executor, tiny_segments());
        if (!opened) continue;
        const uint64_t before = repaired;
        for (auto& [id, group] : expected) {
          const consensus::Recovered got = (*opened)->take_recovered(id);
          consensus::Write write;
          write.id = WriteId{group.last_write.value + 1};
          for (const IndexRange& range : got.damaged) {
            for (Index index = range.first; index <= range.last; ++index) {
              if (rng.below(4) == 0) continue;  // some are found later
              write.repairs.push_back(group.entries.at(index));
            }
          }
          repaired += write.repairs.size();
          consensus::Entry more;
          more.index = got.last.next();
          more.ballot = {group.hard_state.promised.round + 1, {}};
          write.entries.push_back(more);
          apply_to_model(expected, {id, write});
          (*opened)->append(id, std::move(write));
        }
        (*opened)->flush();
        executor.settle();
        executor.advance(std::chrono::seconds(1));
        EXPECT_EQ((*opened)->metrics().entries_repaired, repaired - before);
      }
      executor.settle();
      const Truth truth = judge_damaged(disk, expected, tiny_segments());
      ASSERT_EQ(truth.lie, "") << seed << " " << round;
      ASSERT_FALSE(truth.refused) << seed << " " << round;
    }
  }
  EXPECT_GT(repaired, 100U);
}

consensus::Entry entry(uint64_t index, uint64_t round, std::string_view text) {
  consensus::Entry made;
  made.index = Index{index};
  made.ballot = {round, {}};
  made.kind = consensus::EntryKind::command;
  made.data = Bytes(text);
  return made;
}

class WalRepair : public testing::Test {
 protected:
  void open(WalOptions options = tiny_segments()) {
    log_.reset();
    executor_.settle();
    auto opened = open_wal(disk_, executor_, std::move(options));
    ASSERT_TRUE(opened.has_value()) << opened.error().text;
    log_ = std::move(*opened);
    log_->set_damage_callback(
        [this](GroupId, const std::vector<IndexRange>& ranges, const std::string& why) {
          for (const IndexRange& range : ranges) found_.push_back(range);
          whys_.push_back(why);
        });
  }
  void put(uint64_t id, std::vector<consensus::Entry> entries,
           std::vector<consensus::Entry> repairs = {}) {
    consensus::Write write;
    write.id = WriteId{id};
    write.entries = std::move(entries);
    write.repairs = std::move(repairs);
    log_->append(GroupId{1}, std::move(write));
    log_->flush();
    executor_.settle();
  }
  std::vector<consensus::Entry> read(uint64_t first, uint64_t last) {
    std::vector<consensus::Entry> entries;
    log_->read(GroupId{1}, {Index{first}, Index{last}}, 1 << 20U,
               [&](Result<std::vector<consensus::Entry>> got) { entries = std::move(*got); });
    executor_.settle();
    return entries;
  }
  void ruin(std::string_view text) {
    for (auto& [path, file] : disk_.files) {
      const size_t place = file->content.find(text);
      if (place == std::string::npos) continue;
      file->content[place] = static_cast<char>(file->content[place] ^ 1);
      file->durable = file->content;
    }
  }

  FakeDisk disk_;
  FakeExecutor executor_;
  std::unique_ptr<Wal> log_;
  std::vector<IndexRange> found_;
  std::vector<std::string> whys_;
};

// D09: found by a read, while the log is in use.
TEST_F(WalRepair, AReadEndsBeforeWhatIsLostAndSaysSo) {
  open();
  put(1, {entry(1, 1, "first"), entry(2, 1, "precious"), entry(3, 1, "third")});
  ruin("precious");
  EXPECT_EQ(read(1, 3).size(), 1U);
  ASSERT_EQ(found_, (std::vector<IndexRange>{{Index{2}, Index{2}}}));
  EXPECT_NE(whys_.at(0).find("offset"), std::string::npos);
  EXPECT_TRUE(read(2, 3).empty());
  EXPECT_EQ(found_.size(), 1U) << "told once";
  EXPECT_EQ(read(3, 3).size(), 1U) << "one entry is lost, not its neighbours";
  put(2, {}, {entry(2, 1, "precious")});
  EXPECT_EQ(read(1, 3).size(), 3U);
  EXPECT_EQ(log_->metrics().entries_damaged, 1U);
  EXPECT_EQ(log_->metrics().entries_repaired, 1U);
  open();
  EXPECT_TRUE(log_->take_recovered(GroupId{1}).damaged.empty());
  EXPECT_EQ(read(2, 2).at(0).data.view(), "precious");
}

TEST_F(WalRepair, ARepairOnItsWayIsReadFromMemory) {
  open();
  put(1, {entry(1, 1, "precious"), entry(2, 1, "second")});
  ruin("precious");
  EXPECT_TRUE(read(1, 2).empty());
  consensus::Write write;
  write.id = WriteId{2};
  write.repairs.push_back(entry(1, 1, "precious"));
  log_->append(GroupId{1}, std::move(write));
  EXPECT_EQ(read(1, 2).size(), 2U);
}

using WalRepairDeath = WalRepair;

TEST_F(WalRepairDeath, OnlyWhatIsDamagedIsPutBackAndOnlyTheSame) {
  open();
  put(1, {entry(1, 1, "precious"), entry(2, 1, "second")});
  EXPECT_DEATH(put(2, {}, {entry(1, 1, "precious")}), "only what is damaged is repaired");
  ruin("precious");
  EXPECT_TRUE(read(1, 2).empty());
  EXPECT_DEATH(put(2, {}, {entry(1, 2, "precious")}), "puts back the entry that stood there");
  EXPECT_DEATH(put(2, {}, {entry(2, 1, "second")}), "only what is damaged is repaired");
  put(2, {}, {entry(1, 1, "precious")});
}

// D22: nobody reads it, and yet it is found.
TEST_F(WalRepair, TheScrubFindsRotInColdEntries) {
  WalOptions options = tiny_segments();
  options.scrub_bytes_per_second = uint64_t{1} << 20U;
  options.scrub_pause = std::chrono::seconds(1);
  open(options);
  for (uint64_t index = 1; index <= 30; ++index) {
    put(index, {entry(index, 1, "text of " + std::to_string(index) + std::string(900, '.'))});
  }
  executor_.advance(std::chrono::seconds(5));
  EXPECT_TRUE(found_.empty()) << whys_.at(0);
  const uint64_t whole_pass = log_->metrics().scrubbed_bytes;
  EXPECT_GT(whole_pass, 30 * kPageBytes);
  ruin("text of 7.");
  ruin("text of 29.");
  executor_.advance(std::chrono::seconds(5));
  IndexRanges found(found_);
  EXPECT_EQ(found.list(), (std::vector<IndexRange>{{Index{7}, Index{7}}, {Index{29}, Index{29}}}));
  EXPECT_EQ(found_.size(), 2U) << "told once";
  put(31, {}, {entry(7, 1, "text of 7" + std::string(900, '.'))});
  put(32, {}, {entry(29, 1, "text of 29" + std::string(900, '.'))});
  executor_.advance(std::chrono::seconds(5));
  EXPECT_EQ(found_.size(), 2U);
  EXPECT_EQ(read(1, 30).size(), 30U);
}

// Whatever page rots, the scrub finds what the next start would find; the first segment's header
// is written again.
TEST_F(WalRepair, TheScrubFindsWhatTheNextStartWouldFind) {
  WalOptions options = tiny_segments();
  options.scrub_bytes_per_second = uint64_t{1} << 20U;
  options.scrub_pause = std::chrono::seconds(1);
  open(options);
  for (uint64_t index = 1; index <= 12; ++index) {
    put(index, {entry(index, 1, std::string(index % 3 == 0 ? 5000 : 100, 'x'))});
  }
  executor_.advance(std::chrono::milliseconds(200));
  auto whole = recover_log(disk_, "wal");
  std::vector<std::pair<std::string, uint64_t>> segments;
  for (const auto& [generation, segment] : whole->segments) {
    const bool last = generation == whole->last_generation;
    segments.emplace_back(segment->path, last ? whole->last_end : segment->end);
  }
  whole = fail(ErrorKind::io, "its files are closed");
  Rng rng(3);
  for (const auto& [path, end] : segments) {
    for (uint64_t page = 0; page * kPageBytes < end; ++page) {
      const FakeDisk::Image image = disk_.image();
      std::string& content = disk_.files.at(path)->content;
      content.replace(page * kPageBytes, kPageBytes, kPageBytes, '\0');
      found_.clear();
      executor_.advance(std::chrono::seconds(6));
      if (page == 0) {
        ASSERT_EQ(content, image.at(path)) << "the header is there again";
        ASSERT_TRUE(found_.empty());
        continue;
      }
      FakeDisk copy;
      copy.load(disk_.image());
      FakeExecutor executor;
      auto log = open_wal(copy, executor, tiny_segments());
      // The last batch of a log that could not be sealed: the mark alone knows of it.
      if (!log && path == segments.back().first) {
        disk_.load(image);
        continue;
      }
      ASSERT_TRUE(log.has_value()) << log.error().text;
      const auto told = (*log)->take_recovered(GroupId{1}).damaged;
      ASSERT_EQ(IndexRanges(found_).list(), told) << path << " page " << page;
      // Back to a whole log, so that the next page is judged alone.
      log_.reset();
      executor_.settle();
      disk_.load(image);
      found_.clear();
      open(options);
      (void)log_->take_recovered(GroupId{1});
    }
  }
}

}  // namespace
}  // namespace quorate::storage::wal
