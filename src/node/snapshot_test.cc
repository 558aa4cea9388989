#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "node/limits.h"
#include "node/snapshot_files.h"
#include "node/snapshot_receiver.h"
#include "node/snapshot_sender.h"
#include "node/test_machine.h"
#include "node/test_world.h"
#include "world/real/files.h"

namespace quorate::node {
namespace {

using testing::TemporaryDirectory;
using testing::TestClock;
using testing::TestExecutor;
using testing::TestMachine;

constexpr GroupId kGroup{1};
constexpr NodeId kFrom{1};
constexpr NodeId kTo{2};

std::string text_of(world::Disk& disk, const std::string& path) {
  auto file = disk.open(path, world::OpenMode::read);
  const uint64_t size = (*file)->size().value();
  return read_block(disk, path, 0, size)->str();
}

SnapshotFile described(std::string name, std::string_view content) {
  return {std::move(name), content.size(), crc32c(content)};
}

TEST(SnapshotFilesTest, NamesStayInsideTheirDirectory) {
  for (const char* name : {"000012.sst", "CURRENT", "MANIFEST-000004", "a"}) {
    EXPECT_TRUE(is_safe_file_name(name)) << name;
  }
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\nb", " "}) {
    EXPECT_FALSE(is_safe_file_name(name)) << name;
  }
  EXPECT_FALSE(is_safe_file_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_safe_file_name(std::string(kSnapshotNameBytesMax + 1, 'a')));
}

class SnapshotWriterTest : public ::testing::Test {
 protected:
  SnapshotWriter writer(std::vector<SnapshotFile> files) {
    return SnapshotWriter(*disk_, directory_.path() + "/in", std::move(files));
  }
  Result<void> finish(SnapshotWriter& target) {
    return target.finish(directory_.path(), directory_.path() + "/out");
  }
  TemporaryDirectory directory_;
  std::unique_ptr<world::Disk> disk_ = world::make_file_disk();
};

TEST_F(SnapshotWriterTest, WholeFilesArriveUnderTheFinalName) {
  SnapshotWriter target = writer(
      {described("a", "hello world"), described("b", ""), described("c", "x"), described("d", "")});
  ASSERT_TRUE(target.begin());
  EXPECT_TRUE(target.write(0, 0, Bytes("hello ")));
  EXPECT_TRUE(target.write(0, 6, Bytes("world")));
  EXPECT_TRUE(target.write(2, 0, Bytes("x")));
  EXPECT_FALSE(disk_->exists(directory_.path() + "/out"));
  ASSERT_TRUE(finish(target));
  EXPECT_EQ(text_of(*disk_, directory_.path() + "/out/a"), "hello world");
  EXPECT_EQ(disk_->list(directory_.path() + "/out")->size(), 4U);
  EXPECT_FALSE(disk_->exists(directory_.path() + "/in"));
}

TEST_F(SnapshotWriterTest, BadNamesAreRefusedBeforeAnythingIsWritten) {
  for (const char* name : {"../evil", "/evil", "..", ""}) {
    EXPECT_FALSE(writer({described(name, "x")}).begin()) << name;
  }
  EXPECT_FALSE(writer({described("a", "x"), described("a", "y")}).begin()) << "twice the same";
  EXPECT_FALSE(writer({{"a", UINT64_MAX, 0}}).begin()) << "absurd size";
  EXPECT_FALSE(disk_->exists(directory_.path() + "/in"));
  EXPECT_EQ(writer({{"a", uint64_t{1} << 60U, 0}}).begin().error().kind, ErrorKind::no_space);
}

TEST_F(SnapshotWriterTest, DamageIsNoticed) {
  SnapshotWriter flipped = writer({described("a", "hello")});
  ASSERT_TRUE(flipped.begin());
  EXPECT_TRUE(flipped.write(0, 0, Bytes("hellp")));
  EXPECT_EQ(finish(flipped).error().kind, ErrorKind::corrupt);

  SnapshotWriter shorter = writer({described("a", "hello"), described("b", "more")});
  ASSERT_TRUE(shorter.begin());
  EXPECT_TRUE(shorter.write(0, 0, Bytes("hell")));
  EXPECT_FALSE(shorter.write(1, 0, Bytes("more")));

  SnapshotWriter longer = writer({described("a", "hello")});
  ASSERT_TRUE(longer.begin());
  EXPECT_FALSE(longer.write(0, 0, Bytes("hello and more")));

  SnapshotWriter gap = writer({described("a", "hello")});
  ASSERT_TRUE(gap.begin());
  EXPECT_FALSE(gap.write(0, 1, Bytes("ello")));

  SnapshotWriter missing = writer({described("a", "hello"), described("b", "more")});
  ASSERT_TRUE(missing.begin());
  EXPECT_TRUE(missing.write(0, 0, Bytes("hello")));
  EXPECT_FALSE(finish(missing));

  SnapshotWriter back = writer({described("a", "h"), described("b", "m")});
  ASSERT_TRUE(back.begin());
  EXPECT_TRUE(back.write(1, 0, Bytes("m")).error().kind == ErrorKind::corrupt);

  SnapshotWriter none = writer({described("a", "h")});
  ASSERT_TRUE(none.begin());
  EXPECT_FALSE(none.write(7, 0, Bytes("m")));
  EXPECT_FALSE(disk_->exists(directory_.path() + "/out"));
}

// A sender and a receiver with a wire between them that a test may disturb.
class TransferTest : public ::testing::Test,
                     public SnapshotSender::Owner,
                     public SnapshotReceiver::Owner {
 protected:
  struct Wire : Outbound {
    explicit Wire(TransferTest& test, bool to_receiver) : test_(test), to_receiver_(to_receiver) {}
    bool send(NodeId to, world::Lane lane, Bytes frame) override {
      static_cast<void>(to);
      static_cast<void>(lane);
      if (!test_.connected_) return false;
      test_.deliver(std::move(frame), to_receiver_);
      return true;
    }
    TransferTest& test_;
    bool to_receiver_;
  };

  void SetUp() override {
    ASSERT_TRUE(source_.prepare());
    ASSERT_TRUE(target_.prepare());
    machine_ = std::shared_ptr<machine::StateMachine>(
        std::move(*TestMachine::open(*disk_, source_.store_path(Index{}))));
    // Enough for many chunks.
    for (uint64_t index = 1; index <= 100; ++index) {
      machine_->apply_command(Index{index}, 3,
                              Bytes("k" + std::to_string(index) + "=" + std::string(50000, 'v')),
                              nullptr);
    }
  }
  void deliver(Bytes frame, bool to_receiver) {
    executor_.post([this, frame = std::move(frame), to_receiver] {
      auto decoded = decode_frame(frame);
      ASSERT_TRUE(decoded.has_value());
      if (auto* chunk = std::get_if<SnapshotChunk>(&decoded->body)) {
        ++chunks_;
        if (damage_chunk_ == chunks_) {
          std::string text = chunk->data.str();
          text[0] = static_cast<char>(text[0] ^ 1);
          chunk->data = Bytes(text);
        }
        if (lose_chunk_ == chunks_) return;
        receiver_.on_chunk(kFrom, *chunk);
      } else if (const auto* header = std::get_if<SnapshotHeader>(&decoded->body)) {
        receiver_.on_header(kFrom, *header);
      } else if (const auto* end = std::get_if<SnapshotEnd>(&decoded->body)) {
        receiver_.on_end(kFrom, *end);
      } else if (const auto* progress = std::get_if<SnapshotProgress>(&decoded->body)) {
        EXPECT_FALSE(to_receiver);
        active_->on_progress(kTo, *progress);
      }
    });
  }
  void on_snapshot_sent(NodeId to, Index index, bool ok) override {
    EXPECT_EQ(to, kTo);
    reports_.emplace_back(index, ok);
  }
  std::shared_ptr<machine::StateMachine> machine_to_send() override { return machine_; }
  Index log_first() const override { return log_first_; }
  bool wants_snapshot(const consensus::SnapshotMeta& meta) const override {
    return wanted_ && meta.index.value > 0;
  }
  void on_snapshot_whole(NodeId from, const consensus::SnapshotMeta& meta) override {
    EXPECT_EQ(from, kFrom);
    whole_.push_back(meta);
  }
  void run(int seconds_long) {
    for (int step = 0; step < seconds_long * 10; ++step) {
      clock_.run_for(std::chrono::milliseconds(100));
      sender_.expire(clock_.now());
    }
  }

  TestClock clock_;
  TestExecutor executor_{clock_};
  TemporaryDirectory directory_;
  std::unique_ptr<world::Disk> disk_ = world::make_file_disk();
  StoreDirectory source_{*disk_, directory_.path() + "/source"};
  StoreDirectory target_{*disk_, directory_.path() + "/target"};
  std::shared_ptr<machine::StateMachine> machine_;
  Wire out_{*this, true};
  Wire back_{*this, false};
  SnapshotSender sender_{kGroup, executor_, *disk_, source_, out_, *this};
  SnapshotSender* active_ = &sender_;  // hears what the receiver answers
  SnapshotReceiver receiver_{kGroup, executor_, *disk_, target_, back_, *this};
  bool connected_ = true;
  bool wanted_ = true;
  uint64_t chunks_ = 0;
  uint64_t damage_chunk_ = 0;
  uint64_t lose_chunk_ = 0;
  Index log_first_{1};
  std::vector<std::pair<Index, bool>> reports_;
  std::vector<consensus::SnapshotMeta> whole_;
};

TEST_F(TransferTest, ACheckpointArrivesWholeAndOpensAsTheSameState) {
  sender_.start(kTo);
  run(2);
  ASSERT_EQ(whole_.size(), 1U);
  EXPECT_EQ(whole_[0].index, Index{100});
  EXPECT_EQ(whole_[0].ballot.round, 3U);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0], std::pair(Index{100}, true));
  EXPECT_GT(chunks_, kSnapshotChunksInFlight) << "the window was used";
  auto copy = TestMachine::open(*disk_, target_.arrived_path(Index{100}));
  ASSERT_TRUE(copy);
  EXPECT_EQ((*copy)->state_hash(), machine_->state_hash());
  EXPECT_EQ(sender_.pinned(clock_.now()), Index{100}) << "kept for what follows";
  run(60);
  EXPECT_EQ(sender_.pinned(clock_.now()), std::nullopt);
}

TEST_F(TransferTest, ADamagedChunkIsRefusedAndReportedAndTheNextTryWorks) {
  damage_chunk_ = 5;
  sender_.start(kTo);
  run(3);
  EXPECT_TRUE(whole_.empty());
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_FALSE(reports_[0].second);
  EXPECT_FALSE(disk_->exists(target_.arrived_path(Index{100})));
  damage_chunk_ = 0;
  sender_.start(kTo);
  run(3);
  EXPECT_EQ(whole_.size(), 1U);
  EXPECT_EQ(reports_.size(), 2U);
}

TEST_F(TransferTest, ALostChunkIsNoticed) {
  lose_chunk_ = 3;
  sender_.start(kTo);
  run(3);
  EXPECT_TRUE(whole_.empty());
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_FALSE(reports_[0].second);
}

TEST_F(TransferTest, ABrokenConnectionEndsIt) {
  sender_.start(kTo);
  clock_.run_for(std::chrono::milliseconds(10));
  connected_ = false;
  sender_.on_disconnected(kTo);
  receiver_.on_disconnected(kFrom);
  run(3);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_FALSE(reports_[0].second);
  EXPECT_TRUE(whole_.empty());
}

TEST_F(TransferTest, ABrokenOneGoesOnWhereItStood) {
  run(0);
  sender_.start(kTo);
  while (chunks_ < 40) clock_.run_for(std::chrono::milliseconds(1));
  connected_ = false;
  sender_.on_disconnected(kTo);
  receiver_.on_disconnected(kFrom);
  run(3);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(sender_.pinned(clock_.now()), Index{100}) << "what follows is kept for the next try";
  connected_ = true;
  sender_.start(kTo);
  run(3);
  ASSERT_EQ(whole_.size(), 1U);
  uint64_t all = 0;
  const auto files = describe_files(*disk_, target_.arrived_path(Index{100}));
  ASSERT_TRUE(files);
  for (const SnapshotFile& file : *files) {
    all += chunks_of(file.size);
  }
  EXPECT_LE(chunks_, all + kSnapshotChunksInFlight) << "only what was under way is sent twice";
  auto copy = TestMachine::open(*disk_, target_.arrived_path(Index{100}));
  ASSERT_TRUE(copy);
  EXPECT_EQ((*copy)->state_hash(), machine_->state_hash());
}

TEST_F(TransferTest, AnotherSenderNeedNotWaitForABrokenOne) {
  sender_.start(kTo);
  while (chunks_ < 40) clock_.run_for(std::chrono::milliseconds(1));
  receiver_.on_disconnected(kFrom);
  sender_.on_disconnected(kTo);
  run(2);
  receiver_.on_header(NodeId{3}, {9, {Index{200}, {1, NodeId{}}, {}}, {described("a", "x")}});
  run(1);
  EXPECT_TRUE(disk_->list(target_.incoming_path())->empty()) << "it begins anew";
}

TEST_F(TransferTest, ItKeepsToItsRate) {
  SnapshotSender slow(kGroup, executor_, *disk_, source_, out_, *this, 1'000'000);
  active_ = &slow;
  slow.start(kTo);
  // Five megabytes, one a second.
  for (int step = 0; step < 25; ++step) {
    clock_.run_for(std::chrono::milliseconds(100));
    slow.expire(clock_.now());
  }
  EXPECT_LT(chunks_, 60U);
  EXPECT_GT(chunks_, 30U);
}

TEST_F(SnapshotWriterTest, WholeFilesOfAnEarlierProcessAreKept) {
  const std::vector<SnapshotFile> files = {described("a", "hello world"), described("b", ""),
                                           described("c", "more"), described("d", "rest")};
  const Bytes manifest("this very snapshot");
  const std::string place = directory_.path() + "/in";
  {
    SnapshotWriter first(*disk_, place, files, manifest);
    ASSERT_TRUE(first.begin());
    EXPECT_TRUE(first.write(0, 0, Bytes("hello world")));
    EXPECT_TRUE(first.write(2, 0, Bytes("mo")));
  }
  SnapshotWriter second(*disk_, place, files, manifest);
  ASSERT_TRUE(second.begin());
  EXPECT_EQ(second.chunks(), 1U);
  EXPECT_TRUE(second.write(2, 0, Bytes("more")));
  EXPECT_TRUE(second.write(3, 0, Bytes("rest")));
  ASSERT_TRUE(finish(second));
  EXPECT_EQ(text_of(*disk_, directory_.path() + "/out/a"), "hello world");
  EXPECT_EQ(text_of(*disk_, directory_.path() + "/out/c"), "more");
  EXPECT_FALSE(disk_->exists(place + ".manifest"));
}

TEST_F(SnapshotWriterTest, NothingOfAnotherSnapshotAndNothingDamagedIsKept) {
  const std::vector<SnapshotFile> files = {described("a", "hello"), described("b", "more")};
  const std::string place = directory_.path() + "/in";
  {
    SnapshotWriter first(*disk_, place, files, Bytes("one"));
    ASSERT_TRUE(first.begin());
    EXPECT_TRUE(first.write(0, 0, Bytes("hello")));
    EXPECT_TRUE(first.write(1, 0, Bytes("mo")));
  }
  {
    SnapshotWriter other(*disk_, place, files, Bytes("two"));
    ASSERT_TRUE(other.begin());
    EXPECT_EQ(other.chunks(), 0U);
    EXPECT_TRUE(disk_->list(place)->empty());
    EXPECT_TRUE(other.write(0, 0, Bytes("hello")));
    EXPECT_TRUE(other.write(1, 0, Bytes("mo")));
  }
  auto file = disk_->open(place + "/a", world::OpenMode::read_write);
  const uint8_t letter = 'j';
  ASSERT_TRUE((*file)->write_at(0, {&letter, 1}));
  SnapshotWriter damaged(*disk_, place, files, Bytes("two"));
  ASSERT_TRUE(damaged.begin());
  EXPECT_EQ(damaged.chunks(), 0U);
}

TEST_F(TransferTest, AReceiverThatDoesNotWantItSaysSo) {
  wanted_ = false;
  sender_.start(kTo);
  run(3);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_FALSE(reports_[0].second);
}

TEST_F(TransferTest, AFreshCheckpointIsUsedAgainAnOldOneIsNot) {
  sender_.start(kTo);
  run(2);
  machine_->apply_noop(Index{101}, 3);
  sender_.start(kTo);
  run(2);
  ASSERT_EQ(whole_.size(), 2U);
  EXPECT_EQ(whole_[1].index, Index{100});
  log_first_ = Index{102};  // the log begins behind 101: a receiver of 100 would miss 101
  sender_.start(kTo);
  run(2);
  ASSERT_EQ(whole_.size(), 3U);
  EXPECT_EQ(whole_[2].index, Index{101});
  EXPECT_EQ(disk_->list(source_.snapshots_path())->size(), 1U) << "the old one is removed";
}

TEST_F(TransferTest, MoreChunksThanAgreedAreRefused) {
  receiver_.on_header(kFrom, {9, {Index{5}, {1, NodeId{}}, {}}, {{"a", 1 << 30, 0}}});
  for (uint64_t chunk = 0; chunk <= kSnapshotChunksInFlight; ++chunk) {
    receiver_.on_chunk(kFrom, {9, 0, chunk, Bytes("x")});
  }
  run(1);
  EXPECT_TRUE(whole_.empty());
}

}  // namespace
}  // namespace quorate::node
