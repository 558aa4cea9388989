// What the directory of a stopped member gives, and when it gives nothing.
#include "node/stopped.h"

#include <gtest/gtest.h>

#include "consensus/factory.h"
#include "node/snapshot_files.h"
#include "node/test_machine.h"
#include "node/test_world.h"
#include "storage/wal/wal.h"
#include "world/real/files.h"

namespace quorate::node {
namespace {

using consensus::Entry;
using consensus::EntryKind;
using testing::TemporaryDirectory;
using testing::TestClock;
using testing::TestExecutor;
using testing::TestMachine;

constexpr GroupId kGroup{1};
constexpr consensus::Ballot kBallot{2, {}};
using Rows = std::map<std::string, std::string>;

class StoppedTest : public ::testing::Test {
 protected:
  // A member of its own making: `voters` of them, `commands` behind the founding entry, each in a
  // batch of its own, of which it has heard that those up to `committed` are decided.
  void make(int voters, const std::vector<std::string>& commands, uint64_t committed) {
    for (int id = 1; id <= voters; ++id) {
      members_.voters.push_back({NodeId{static_cast<uint64_t>(id)}, 0, {}});
    }
    write({consensus::founding_write(consensus::Protocol::raft, members_)});
    std::vector<consensus::Write> writes;
    for (const std::string& command : commands) {
      consensus::Write write;
      const uint64_t number = writes.size() + 2;
      write.id = WriteId{number};
      write.hard_state = consensus::HardState{kBallot, {}, Index{std::min(number - 1, committed)}};
      write.entries.push_back({Index{number}, kBallot, EntryKind::command, {}, Bytes(command)});
      writes.push_back(std::move(write));
    }
    consensus::Write last;
    last.id = WriteId{writes.size() + 2};
    last.hard_state = consensus::HardState{kBallot, {}, Index{committed}};
    writes.push_back(std::move(last));
    write(std::move(writes));
    identify();
  }
  void identify() {
    Identity identity;
    identity.cluster_id = 9;
    identity.member = NodeId{1};
    identity.next_sequence = 1;
    identity.name = "n1";
    ASSERT_TRUE(save_identity(*disk_, path_, identity));
  }
  void write(std::vector<consensus::Write> writes) {
    ASSERT_TRUE(disk_->make_directory(path_));
    storage::WalOptions options;
    options.directory = path_ + "/wal";
    auto wal = storage::open_wal(*disk_, executor_, options);
    ASSERT_TRUE(wal) << wal.error().text;
    (*wal)->set_callbacks([](GroupId, WriteId, Duration) {},
                          [](const Error& error) { FAIL() << error.text; });
    for (consensus::Write& each : writes) {
      (*wal)->append(kGroup, std::move(each));
      (*wal)->flush();
      clock_.run_for(std::chrono::milliseconds(20));
    }
  }
  Result<StoppedMember> open(TakeLog take = TakeLog::decided) {
    Result<StoppedMember> outcome = fail(ErrorKind::unavailable, "it was never told");
    open_stopped(
        executor_, *disk_, path_,
        [this](const std::string& store) { return TestMachine::open(*disk_, store); }, take,
        [&](Result<StoppedMember> result) { outcome = std::move(result); });
    clock_.run_for(std::chrono::seconds(5));
    return outcome;
  }
  static Rows rows_of(const StoppedMember& member) {
    return static_cast<const TestMachine&>(*member.machine).rows();
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/member";
  std::unique_ptr<world::Disk> disk_ = world::make_file_disk();
  TestClock clock_;
  TestExecutor executor_{clock_};
  consensus::Members members_;
};

TEST_F(StoppedTest, OfASoleVoterAllIsDecided) {
  make(1, {"a=1", "b=2", "a=3"}, 1);
  const auto member = open();
  ASSERT_TRUE(member) << member.error().text;
  // The machine of these tests appends, so that what is applied twice shows.
  EXPECT_EQ(rows_of(*member), (Rows{{"a", "13"}, {"b", "2"}}));
  EXPECT_EQ(member->identity.name, "n1");
  EXPECT_EQ(member->decided, Index{4});
  EXPECT_EQ(member->undecided(), 0U);
  EXPECT_EQ(member->last_round, 2U);
  EXPECT_EQ(member->members, members_);
}

TEST_F(StoppedTest, OfSeveralOnlyWhatTheLogKnows) {
  make(3, {"a=1", "b=2", "a=3"}, 3);
  {
    const auto member = open();
    ASSERT_TRUE(member) << member.error().text;
    EXPECT_EQ(rows_of(*member), (Rows{{"a", "1"}, {"b", "2"}}));
    EXPECT_EQ(member->machine->applied(), Index{3});
    EXPECT_EQ(member->undecided(), 1U);
    EXPECT_EQ(member->last, Index{4});
  }
  const auto all = open(TakeLog::all);
  ASSERT_TRUE(all) << all.error().text;
  EXPECT_EQ(rows_of(*all), (Rows{{"a", "13"}, {"b", "2"}}));
  EXPECT_EQ(all->undecided(), 1U);
}

TEST_F(StoppedTest, ADirectoryInUseIsLeftAlone) {
  make(1, {"a=1"}, 1);
  const auto lock = disk_->lock(path_);
  ASSERT_TRUE(lock);
  const auto member = open();
  ASSERT_FALSE(member);
  EXPECT_EQ(member.error().kind, ErrorKind::conflict);
  EXPECT_NE(member.error().text.find("in use"), std::string::npos);
}

TEST_F(StoppedTest, NoMembersDirectoryStaysAsItIs) {
  ASSERT_TRUE(disk_->make_directory(path_));
  const auto member = open();
  ASSERT_FALSE(member);
  EXPECT_EQ(member.error().kind, ErrorKind::not_found);
  EXPECT_TRUE(disk_->list(path_)->empty());
}

TEST_F(StoppedTest, WhoNeverTookPartHasNothing) {
  write({});
  identify();
  const auto member = open();
  ASSERT_FALSE(member);
  EXPECT_NE(member.error().text.find("never taken part"), std::string::npos) << member.error().text;
}

TEST_F(StoppedTest, ALogBehindAStoreThatIsGoneIsRefused) {
  members_.voters.push_back({NodeId{1}, 0, {}});
  write({consensus::founding_write_behind(consensus::Protocol::raft, members_, Index{10})});
  identify();
  const auto member = open();
  ASSERT_FALSE(member);
  EXPECT_EQ(member.error().kind, ErrorKind::corrupt);
  EXPECT_NE(member.error().text.find("begins behind 10"), std::string::npos);
}

TEST_F(StoppedTest, AnEntryThatIsLostIsNotLeftOut) {
  make(1, {"a=1", "damaged=2", "c=3", "d=4"}, 5);
  bool changed = false;
  const auto names = disk_->list(path_ + "/wal");
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    auto file = disk_->open(path_ + "/wal/" + name, world::OpenMode::read_write);
    const auto content = read_block(*disk_, path_ + "/wal/" + name, 0, (*file)->size().value());
    ASSERT_TRUE(content);
    const size_t place = content->view().find("damaged=2");
    if (place == std::string_view::npos) continue;
    const uint8_t other = 'x';
    ASSERT_TRUE((*file)->write_at(place, {&other, 1}));
    changed = true;
  }
  ASSERT_TRUE(changed);
  const auto member = open();
  ASSERT_FALSE(member);
  EXPECT_EQ(member.error().kind, ErrorKind::corrupt) << member.error().text;
  EXPECT_NE(member.error().text.find("lost entries"), std::string::npos) << member.error().text;
}

}  // namespace
}  // namespace quorate::node
