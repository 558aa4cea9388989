// A backup holds what the machine held when it was made, in etcd's words.
#include "machine/etcd/backup.h"

#include <gtest/gtest.h>

#include <map>

#include "consensus/members.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"
#include "storage/bolt/reader.h"
#include "storage/mvcc/record.h"
#include "storage/mvcc/revision.h"

namespace quorate::machine::etcd {
namespace {

using Rows = std::map<std::string, std::string>;

std::string file_of(Backup& backup, size_t work) {
  while (true) {
    const auto measured = backup.measure(work);
    EXPECT_TRUE(measured);
    if (!measured || *measured) break;
  }
  std::string file;
  while (true) {
    const auto finished = backup.read(work, file);
    EXPECT_TRUE(finished);
    if (!finished || *finished) break;
  }
  EXPECT_EQ(file.size(), backup.bytes());
  return file;
}

std::map<std::string, Rows> content_of(const std::string& bytes) {
  storage::TestDisk disk;
  auto file = disk.open("/file", world::OpenMode::create);
  disk.content("/file") = bytes;
  auto reader = storage::bolt::Reader::open(**file, "file", bytes.size());
  EXPECT_TRUE(reader) << reader.error().text;
  std::map<std::string, Rows> content;
  if (!reader) return content;
  for (const std::string& name : reader->buckets()) {
    Rows& rows = content[name];
    EXPECT_TRUE(reader->scan(name, [&](std::string_view key, std::string_view value) {
      rows.emplace(key, value);
      return true;
    }));
  }
  return content;
}

// "key=value@main" of each row, a deletion as "key-@main".
std::vector<std::string> history_of(const Rows& rows) {
  std::vector<std::string> history;
  for (const auto& [key, value] : rows) {
    const auto row = storage::mvcc::decode_row_key(key);
    const auto record = storage::mvcc::decode_record(value);
    EXPECT_TRUE(row && record);
    if (!row || !record) continue;
    history.push_back(std::string(record->key) +
                      (row->tombstone ? "-" : "=" + std::string(record->value)) + "@" +
                      std::to_string(row->revision.main));
  }
  return history;
}

TEST(BackupTest, HoldsEveryVersionLeaseAndMember) {
  MachineFixture fixture;
  const consensus::Members members{{{NodeId{7}, 0, {}}, {NodeId{300}, 0, {}}}, {}, {}};
  fixture.machine().apply_members(Index{1}, 1, consensus::encode_members(members));
  fixture.put("a", "1");
  fixture.put("b", "2");
  fixture.put("a", "3");
  fixture.remove("b");
  fixture.apply(CommandKind::lease_grant, MachineFixture::wire(LeaseGrantRequest{90, 5}));
  PutRequest leased;
  leased.key = "l";
  leased.lease = 5;
  fixture.put(leased);
  fixture.commit();
  const auto backup = fixture.machine().backup(
      {{300, "n\"2", {"http://a:1"}, {}, true}, {7, "n1", {"http://b:1"}, {"http://b:2"}, false}});
  const auto content = content_of(file_of(*backup, 50));
  EXPECT_EQ(history_of(content.at("key")),
            (std::vector<std::string>{"a=1@2", "b=2@3", "a=3@4", "b-@5", "l=@6"}));
  EXPECT_EQ(content.at("lease"),
            (Rows{{std::string("\0\0\0\0\0\0\0\5", 8), std::string("\x08\x05\x10\x5a", 4)}}));
  EXPECT_EQ(
      content.at("members"),
      (Rows{
          {"12c", R"({"id":300,"peerURLs":["http://a:1"],"isLearner":true,"name":"n\"2"})"},
          {"7", R"({"id":7,"peerURLs":["http://b:1"],"name":"n1","clientURLs":["http://b:2"]})"}}));
  const Rows& meta = content.at("meta");
  EXPECT_EQ(meta.at("consistent_index"), std::string("\0\0\0\0\0\0\0\7", 8));
  EXPECT_EQ(meta.at("term"), std::string("\0\0\0\0\0\0\0\1", 8));
  EXPECT_EQ(meta.at("confState"), R"({"voters":[7,300],"auto_leave":false})");
  EXPECT_FALSE(meta.contains("scheduledCompactRev"));
  for (const char* name : {"alarm", "auth", "authRoles", "authUsers", "cluster"}) {
    EXPECT_TRUE(content.at(name).empty()) << name;
  }
}

TEST(BackupTest, ACompactionUnderWayIsNoted) {
  MachineFixture fixture;
  for (int i = 0; i < 3000; ++i) fixture.put("k" + std::to_string(i % 1500), "v");
  fixture.compact(2500);
  fixture.commit();
  const std::string revision("\0\0\0\0\0\0\x09\xc4_\0\0\0\0\0\0\0\0", 17);
  {
    const auto backup = fixture.machine().backup({});
    const Rows meta = content_of(file_of(*backup, 1 << 20)).at("meta");
    EXPECT_EQ(meta.at("scheduledCompactRev"), revision);
    EXPECT_FALSE(meta.contains("finishedCompactRev"));
  }
  for (int i = 0; i < 10; ++i) fixture.commit();
  const auto backup = fixture.machine().backup({});
  const Rows meta = content_of(file_of(*backup, 1 << 20)).at("meta");
  EXPECT_EQ(meta.at("scheduledCompactRev"), revision);
  EXPECT_EQ(meta.at("finishedCompactRev"), revision);
}

TEST(BackupTest, IsOneStateWhateverIsWrittenMeanwhile) {
  MachineFixture fixture;
  for (int i = 0; i < 500; ++i) fixture.put("k" + std::to_string(i), std::string(100, 'v'));
  fixture.commit();
  const auto undisturbed = fixture.machine().backup({});
  const std::string wanted = file_of(*undisturbed, 1 << 20);
  const auto backup = fixture.machine().backup({});
  std::string file;
  int steps = 0;
  const auto disturb = [&] {
    fixture.put("k" + std::to_string(++steps), "changed");
    if (steps % 7 == 0) fixture.compact(400 + steps);
    fixture.commit();
  };
  while (!*backup->measure(3000)) disturb();
  while (!*backup->read(3000, file)) disturb();
  EXPECT_GT(steps, 20);
  EXPECT_EQ(file, wanted);
}

TEST(BackupTest, OfNothing) {
  MachineFixture fixture;
  const auto backup = fixture.machine().backup({});
  const auto content = content_of(file_of(*backup, 1));
  EXPECT_TRUE(content.at("key").empty());
  EXPECT_EQ(content.at("meta").at("consistent_index"), std::string(8, '\0'));
}

}  // namespace
}  // namespace quorate::machine::etcd
