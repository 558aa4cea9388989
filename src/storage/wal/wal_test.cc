#include "storage/wal/wal.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "storage/wal/fake_world.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {
namespace {

using consensus::Entry;
using consensus::HardState;
using consensus::Recovered;
using consensus::Write;

constexpr GroupId kGroup{1};
constexpr GroupId kOther{2};

Entry entry(uint64_t index, uint64_t term, std::string_view text = "data") {
  Entry made;
  made.index = Index{index};
  made.ballot = {term, {}};
  made.kind = consensus::EntryKind::command;
  made.id = {NodeId{1}, index};
  made.data = Bytes(text);
  return made;
}

Write write_of(uint64_t id, std::vector<Entry> entries, uint64_t committed = 0) {
  Write write;
  write.id = WriteId{id};
  write.entries = std::move(entries);
  if (committed != 0) write.hard_state = HardState{{1, {}}, {}, Index{committed}};
  return write;
}

class WalTest : public testing::Test {
 protected:
  void open(uint64_t segment_bytes = 16384, size_t tail_bytes = size_t{1} << 20U) {
    log_.reset();
    auto opened = open_wal(disk_, executor_, {"wal", segment_bytes, tail_bytes});
    ASSERT_TRUE(opened.has_value()) << opened.error().text;
    log_ = std::move(*opened);
    log_->set_callbacks([this](GroupId group, WriteId write,
                               Duration) { durable_.emplace_back(group.value, write.value); },
                        [this](const Error& error) { failures_.push_back(error); });
  }
  void put(GroupId group, Write write) {
    log_->append(group, std::move(write));
    log_->flush();
    executor_.settle();
  }
  Result<std::vector<Entry>> read(uint64_t first, uint64_t last, size_t bytes = 1 << 20,
                                  bool settle = true) {
    std::optional<Result<std::vector<Entry>>> answer;
    log_->read(kGroup, {Index{first}, Index{last}}, bytes,
               [&](Result<std::vector<Entry>> got) { answer = std::move(got); });
    EXPECT_FALSE(answer.has_value()) << "answered from within read()";
    if (settle) {
      executor_.settle();
    } else {
      executor_.run_one(world::DiskLane::background);
      executor_.run_posted();
    }
    EXPECT_TRUE(answer.has_value());
    return answer ? std::move(*answer) : Result<std::vector<Entry>>();
  }
  // Fills segments with entries that are dropped at once.
  void churn(uint64_t& next_write, uint64_t& next_index, int writes) {
    for (int count = 0; count < writes; ++count) {
      const std::string data(1000, 'x');
      put(kGroup, write_of(next_write++, {entry(next_index, 1, data)}, next_index));
      Write drop;
      drop.id = WriteId{next_write++};
      drop.snapshot = consensus::SnapshotMeta{Index{next_index}, {1, {}}, Bytes("members")};
      put(kGroup, drop);
      ++next_index;
    }
  }

  FakeDisk disk_;
  FakeExecutor executor_;
  std::unique_ptr<Wal> log_;
  std::vector<std::pair<uint64_t, uint64_t>> durable_;
  std::vector<Error> failures_;
};

TEST_F(WalTest, GivesBackWhatWasWritten) {
  open();
  EXPECT_TRUE(log_->groups().empty());
  Write first = write_of(3, {entry(1, 1, "one"), entry(2, 1, "")}, 1);
  first.entries[0].kind = consensus::EntryKind::members;
  log_->append(kGroup, first);
  log_->append(kOther, write_of(1, {entry(1, 4, "other")}));
  log_->append(kGroup, write_of(8, {entry(3, 2, "three")}));
  EXPECT_TRUE(durable_.empty());
  log_->flush();
  executor_.settle();
  const std::vector<std::pair<uint64_t, uint64_t>> expected{{1, 3}, {2, 1}, {1, 8}};
  EXPECT_EQ(durable_, expected);

  open();
  ASSERT_EQ(log_->groups().size(), 2U);
  const Recovered recovered = log_->take_recovered(kGroup);
  EXPECT_EQ(recovered.hard_state, (HardState{{1, {}}, {}, Index{1}}));
  EXPECT_EQ(recovered.last, Index{3});
  EXPECT_EQ(recovered.last_write, WriteId{8});
  ASSERT_EQ(recovered.tail.size(), 3U);
  EXPECT_EQ(recovered.tail[0], first.entries[0]);
  EXPECT_EQ(recovered.tail[2], entry(3, 2, "three"));
  ASSERT_EQ(recovered.members_entries.size(), 1U);
  ASSERT_EQ(recovered.runs.size(), 2U);
  EXPECT_EQ(recovered.runs[1].first, Index{3});
  EXPECT_EQ(log_->take_recovered(kOther).tail.at(0), entry(1, 4, "other"));
}

TEST_F(WalTest, WhatArrivesDuringASyncSharesTheNext) {
  open(65536);
  put(kGroup, write_of(1, {entry(1, 1)}));
  const uint64_t before = log_->metrics().syncs;
  log_->append(kGroup, write_of(2, {entry(2, 1)}));
  log_->flush();
  EXPECT_EQ(executor_.waiting(world::DiskLane::log), 1U);
  for (uint64_t id = 3; id <= 20; ++id) {
    log_->append(kGroup, write_of(id, {entry(id, 1)}));
    log_->flush();
    EXPECT_EQ(executor_.waiting(world::DiskLane::log), 1U) << "one in flight";
  }
  executor_.settle();
  EXPECT_EQ(log_->metrics().syncs - before, 2U);
  EXPECT_EQ(durable_.size(), 20U);
}

TEST_F(WalTest, NothingReachesTheDiskBeforeFlush) {
  open();
  log_->append(kGroup, write_of(1, {entry(1, 1)}));
  executor_.settle();
  EXPECT_TRUE(disk_.files.empty());
}

TEST_F(WalTest, RecyclesSegmentsInsteadOfGrowing) {
  open();
  uint64_t next_write = 1;
  uint64_t next_index = 1;
  churn(next_write, next_index, 20);
  const uint64_t created = log_->metrics().segments_created;
  const size_t files = disk_.files.size();
  churn(next_write, next_index, 100);
  EXPECT_EQ(log_->metrics().segments_created, created);
  EXPECT_GT(log_->metrics().segments_recycled, 20U);
  EXPECT_EQ(disk_.files.size(), files);
  EXPECT_LE(files, 5U);
  open();
  const Recovered recovered = log_->take_recovered(kGroup);
  EXPECT_EQ(recovered.last.value, next_index - 1);
  EXPECT_EQ(recovered.snapshot.members, Bytes("members"));
  EXPECT_EQ(recovered.last_write.value, next_write - 1);
}

TEST_F(WalTest, KeepsSegmentsThatHoldLiveEntriesOfAnyGroup) {
  open();
  put(kOther, write_of(1, {entry(1, 7, "old but alive")}));
  uint64_t next_write = 1;
  uint64_t next_index = 1;
  churn(next_write, next_index, 60);
  open();
  EXPECT_EQ(log_->take_recovered(kOther).tail.at(0), entry(1, 7, "old but alive"));
  EXPECT_EQ(log_->take_recovered(kGroup).last.value, next_index - 1);
}

TEST_F(WalTest, DoesNotRecycleASegmentThatIsBeingRead) {
  open();
  put(kGroup, write_of(1, {entry(1, 1, "wanted")}, 1));
  std::optional<Result<std::vector<Entry>>> answer;
  log_->read(kGroup, {Index{1}, Index{1}}, 100,
             [&](Result<std::vector<Entry>> got) { answer = std::move(got); });
  Write drop;
  drop.id = WriteId{2};
  drop.snapshot = consensus::SnapshotMeta{Index{1}, {1, {}}, {}};
  log_->append(kGroup, drop);
  log_->flush();
  for (uint64_t id = 3; id < 80; ++id) {
    Write write = write_of(id, {});
    write.hard_state = HardState{{id, {}}, {}, Index{1}};
    log_->append(kGroup, write);
    log_->flush();
    executor_.run_posted();
    executor_.run_one(world::DiskLane::log);
    executor_.run_posted();
  }
  EXPECT_GT(log_->metrics().segments_recycled + log_->metrics().segments_created, 3U);
  executor_.settle();
  ASSERT_TRUE(answer && answer->has_value());
  EXPECT_EQ((*answer)->at(0), entry(1, 1, "wanted"));
}

TEST_F(WalTest, ReadsFromDiskFromTheQueueAndAcrossATruncation) {
  open(65536);
  put(kGroup, write_of(1, {entry(1, 1), entry(2, 1), entry(3, 1)}));
  log_->append(kGroup, write_of(2, {entry(4, 1)}));
  log_->flush();  // under way
  Write conflict = write_of(3, {entry(3, 2, "new")});
  conflict.truncate_from = Index{3};
  log_->append(kGroup, conflict);  // queued
  auto got = read(1, 9, 1 << 20, false);
  ASSERT_TRUE(got.has_value());
  ASSERT_EQ(got->size(), 3U);
  EXPECT_EQ(got->at(1), entry(2, 1));
  EXPECT_EQ(got->at(2), entry(3, 2, "new"));
  log_->flush();
  executor_.settle();
  got = read(2, 9);
  ASSERT_EQ(got->size(), 2U);
  EXPECT_EQ(got->at(1), entry(3, 2, "new"));
  EXPECT_EQ(read(1, 9, 1)->size(), 1U) << "at least one";
  EXPECT_TRUE(read(4, 9)->empty());
  EXPECT_TRUE(log_->groups().size() == 1);
}

TEST_F(WalTest, AReadOfADroppedPrefixIsEmpty) {
  open();
  put(kGroup, write_of(1, {entry(1, 1), entry(2, 1), entry(3, 1)}, 2));
  Write drop;
  drop.id = WriteId{2};
  drop.snapshot = consensus::SnapshotMeta{Index{2}, {1, {}}, {}};
  log_->append(kGroup, drop);
  EXPECT_TRUE(read(1, 3, 1 << 20, false)->empty());
  log_->flush();
  executor_.settle();
  EXPECT_TRUE(read(2, 3)->empty());
  EXPECT_EQ(read(3, 3)->size(), 1U);
}

TEST_F(WalTest, TheTailIsBoundedAndEndsAtLast) {
  open(65536);
  const std::string data(1000, 'x');
  for (uint64_t index = 1; index <= 20; ++index) {
    put(kGroup, write_of(index, {entry(index, 1, data)}));
  }
  open(65536, 5000);
  const Recovered recovered = log_->take_recovered(kGroup);
  EXPECT_EQ(recovered.last, Index{20});
  ASSERT_EQ(recovered.tail.size(), 4U);
  EXPECT_EQ(recovered.tail.back().index, Index{20});
  EXPECT_EQ(read(1, 20)->size(), 20U);
}

TEST_F(WalTest, AWriteLargerThanASegmentIsStillOneWrite) {
  open();
  put(kGroup, write_of(1, {entry(1, 1)}));
  put(kGroup, write_of(2, {entry(2, 1, std::string(200000, 'y')), entry(3, 1)}));
  put(kGroup, write_of(3, {entry(4, 1)}));
  ASSERT_TRUE(failures_.empty());
  open();
  EXPECT_EQ(log_->take_recovered(kGroup).tail.size(), 4U);
}

TEST_F(WalTest, AFailedSyncIsFinal) {
  open();
  put(kGroup, write_of(1, {entry(1, 1)}));
  disk_.fails_sync_at = disk_.steps + 2;
  log_->append(kGroup, write_of(2, {entry(2, 1)}));
  log_->flush();
  log_->append(kGroup, write_of(3, {entry(3, 1)}));
  executor_.settle();
  log_->append(kGroup, write_of(4, {entry(4, 1)}));
  log_->flush();
  executor_.settle();
  executor_.advance(std::chrono::seconds(1));
  EXPECT_EQ(durable_.size(), 1U);
  ASSERT_EQ(failures_.size(), 1U);
  EXPECT_EQ(failures_[0].kind, ErrorKind::io);
  EXPECT_EQ(disk_.calls_after_failure, 0U);
  EXPECT_FALSE(read(1, 1).has_value());
}

TEST_F(WalTest, AFullDiskStopsTheLogAndTheNextStartNeedsNoSpace) {
  open();
  put(kGroup, write_of(1, {entry(1, 1)}));
  disk_.space = 0;
  for (uint64_t id = 2; id < 30 && failures_.empty(); ++id) {
    put(kGroup, write_of(id, {entry(id, 1, std::string(1000, 'z'))}));
  }
  ASSERT_EQ(failures_.size(), 1U);
  EXPECT_EQ(failures_[0].kind, ErrorKind::no_space);
  EXPECT_NE(failures_[0].text.find("free some space"), std::string::npos);
  const uint64_t durable = durable_.size();
  open();
  EXPECT_EQ(log_->take_recovered(kGroup).last.value, durable);
  EXPECT_EQ(read(1, 1)->size(), 1U);
}

TEST_F(WalTest, ANameThatNobodySyncedIsSyncedBeforeTheFileIsUsed) {
  open();
  put(kGroup, write_of(1, {entry(1, 1)}));
  // Made by a process that was killed before it synced the directory.
  auto left = std::make_shared<FakeFile>();
  left->path = "wal/7.wal";
  disk_.files[left->path] = left;
  ASSERT_FALSE(disk_.durable_names.contains(left->path));
  open();
  EXPECT_TRUE(disk_.durable_names.contains(left->path));
}

TEST_F(WalTest, IsGoneBeforeItsJobsAre) {
  open();
  log_->append(kGroup, write_of(1, {entry(1, 1)}));
  log_->flush();
  bool answered = false;
  log_->read(kGroup, {Index{1}, Index{1}}, 1, [&](auto) { answered = true; });
  log_.reset();
  executor_.settle();
  executor_.advance(std::chrono::seconds(1));
  EXPECT_FALSE(answered);
  EXPECT_TRUE(durable_.empty());
}

TEST_F(WalTest, AQuietLogIsSealedOnce) {
  open();
  put(kGroup, write_of(1, {entry(1, 1)}));
  const uint64_t before = log_->metrics().syncs;
  executor_.advance(std::chrono::seconds(5));
  EXPECT_EQ(log_->metrics().syncs, before + 1);
  open();
  EXPECT_EQ(log_->take_recovered(kGroup).last, Index{1});
}

using WalDeathTest = WalTest;

TEST_F(WalDeathTest, GuardsStopTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  open();
  put(kGroup, write_of(5, {entry(1, 1), entry(2, 1)}, 1));
  Write forgetful = write_of(6, {});
  forgetful.hard_state = HardState{{0, {}}, {}, Index{1}};
  EXPECT_DEATH(log_->append(kGroup, forgetful), "promised never shrinks");
  forgetful.hard_state = HardState{{1, {}}, {}, Index{0}};
  EXPECT_DEATH(log_->append(kGroup, forgetful), "committed never shrinks");
  EXPECT_DEATH(log_->append(kGroup, write_of(6, {entry(1, 1)})), "at or below committed");
  EXPECT_DEATH(log_->append(kGroup, write_of(5, {})), "write ids of a group grow");
}

}  // namespace
}  // namespace quorate::storage::wal
