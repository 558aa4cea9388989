// What a backup holds makes a machine that answers the same; what no etcd wrote is refused.
#include "machine/etcd/import.h"

#include <gtest/gtest.h>

#include "machine/etcd/backup.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"
#include "storage/bolt/writer.h"
#include "storage/mvcc/record.h"
#include "storage/mvcc/revision.h"

namespace quorate::machine::etcd {
namespace {

using Rows = std::map<std::string, std::string>;
using Buckets = std::map<std::string, Rows>;

class Database {
 public:
  explicit Database(const std::string& bytes) {
    file_ = std::move(*disk_.open("/file", world::OpenMode::create));
    disk_.content("/file") = bytes;
    auto reader = storage::bolt::Reader::open(*file_, "file", bytes.size());
    EXPECT_TRUE(reader) << reader.error().text;
    reader_.emplace(std::move(*reader));
  }
  const storage::bolt::Reader& operator*() { return *reader_; }

 private:
  storage::TestDisk disk_;
  std::unique_ptr<world::File> file_;
  std::optional<storage::bolt::Reader> reader_;
};

std::string backup_of(MachineFixture& fixture) {
  fixture.commit();
  const auto backup = fixture.machine().backup({});
  std::string file;
  while (!*backup->measure(1 << 20)) {
  }
  while (!*backup->read(1 << 20, file)) {
  }
  return file;
}

std::string write(const Buckets& buckets) {
  storage::bolt::Writer writer;
  for (const auto& [name, rows] : buckets) {
    writer.begin_bucket(name);
    for (const auto& [key, value] : rows) writer.put(key, value);
    writer.end_bucket();
  }
  const std::string front = writer.finish();
  return front + writer.output();
}

std::string row_key(int64_t main, bool tombstone = false) {
  std::string key;
  storage::mvcc::append_row_key({{main, 0}, tombstone}, key);
  return key;
}

std::string record(std::string_view key, int64_t main, int64_t lease = 0) {
  std::string value;
  storage::mvcc::encode_record({key, main, main, 1, "v", lease}, value);
  return value;
}

// A machine that begins as the file says, its log behind index 40.
std::unique_ptr<EtcdMachine> machine_of(storage::TestDisk& disk, const std::string& bytes) {
  Database database(bytes);
  const auto content = look_through(*database);
  EXPECT_TRUE(content) << content.error().text;
  auto rows = storage::open_memory_store(disk, "/imported");
  if (!content || !rows) return nullptr;
  EXPECT_TRUE(import_rows(*database, *content, {Index{40}, 1, {}}, **rows));
  auto machine = open_etcd_machine(std::move(*rows));
  EXPECT_TRUE(machine) << machine.error().text;
  if (!machine) return nullptr;
  (*machine)->check_invariants();
  return std::move(*machine);
}

std::string error_of(const std::string& bytes) {
  Database database(bytes);
  const auto content = look_through(*database);
  return content ? "" : content.error().text;
}

std::vector<std::string> changes_of(const EtcdMachine& machine) {
  std::vector<std::string> changes;
  machine.changes(machine.revisions().compacted + 1, [&](const Change& change) {
    changes.push_back(std::to_string(change.revision.main) + (change.tombstone ? "-" : "+") +
                      std::string(change.record));
    return true;
  });
  return changes;
}

TEST(ImportTest, ABackupBecomesTheSameMachine) {
  MachineFixture fixture;
  for (int i = 0; i < 40; ++i) fixture.put("k" + std::to_string(i % 17), std::string(200, 'v'));
  fixture.remove("k3");
  fixture.apply(CommandKind::lease_grant, MachineFixture::wire(LeaseGrantRequest{90, -5}));
  PutRequest leased;
  leased.key = "l";
  leased.lease = -5;
  fixture.put(leased);
  fixture.compact(30);
  fixture.put("k1", "last");
  storage::TestDisk disk;
  const auto machine = machine_of(disk, backup_of(fixture));
  ASSERT_NE(machine, nullptr);
  EXPECT_EQ(machine->applied(), Index{40});
  EXPECT_EQ(machine->revisions().current, fixture.machine().revisions().current);
  EXPECT_EQ(machine->revisions().compacted, 30);
  EXPECT_EQ(machine->state_hash(), fixture.machine().state_hash());
  EXPECT_EQ(changes_of(*machine), changes_of(fixture.machine()));
  EXPECT_EQ(machine->leases()->find(-5)->granted_seconds, 90);
  // It goes on like any other.
  machine->apply_noop(Index{41}, 2);
  PutRequest next;
  next.key = "k1";
  Reply reply;
  machine->apply_command(Index{42}, 2, make_command(CommandKind::put, MachineFixture::wire(next)),
                         &reply);
  EXPECT_EQ(reply.revision, fixture.machine().revisions().current + 1);
  EXPECT_TRUE(machine->commit_batch());
}

TEST(ImportTest, TheRevisionIsNoLessThanTheCompactedOne) {
  const std::string file =
      write({{"key", {{row_key(5), record("a", 5)}}},
             {"meta", {{"scheduledCompactRev", row_key(9)}, {"finishedCompactRev", row_key(7)}}}});
  storage::TestDisk disk;
  const auto machine = machine_of(disk, file);
  ASSERT_NE(machine, nullptr);
  EXPECT_EQ(machine->revisions().current, 9);
  EXPECT_EQ(machine->revisions().compacted, 9);
}

TEST(ImportTest, OnlyTheNewestVersionLosesALeaseThatIsGone) {
  const std::string file = write({{"key",
                                   {{row_key(2), record("kept", 2, 77)},
                                    {row_key(3), record("moved", 3, 77)},
                                    {row_key(4), record("moved", 4)},
                                    {row_key(5), record("gone", 5, 77)},
                                    {row_key(6, true), std::string("\x0a\x04gone", 6)}}},
                                  {"meta", {}}});
  Database database(file);
  const auto content = look_through(*database);
  ASSERT_TRUE(content);
  EXPECT_EQ(content->orphans, (std::map<std::string, int64_t>{{"kept", 2}}));
  EXPECT_EQ(content->rows, 5U);
  storage::TestDisk disk;
  const auto machine = machine_of(disk, file);
  ASSERT_NE(machine, nullptr);
  std::string scratch;
  const auto lease_at = [&](std::string_view key, int64_t revision) {
    return storage::mvcc::decode_record(*machine->record_at(key, revision, scratch))->lease;
  };
  EXPECT_EQ(lease_at("kept", 6), 0);
  EXPECT_EQ(lease_at("moved", 3), 77);
  EXPECT_EQ(lease_at("gone", 5), 77);
}

TEST(ImportTest, WhatNoEtcdWroteIsRefused) {
  const Rows meta = {{"consistent_index", std::string(8, '\1')}};
  EXPECT_NE(error_of(write({{"meta", {}}})), "");
  EXPECT_NE(error_of(write({{"key", {}}})), "");
  EXPECT_NE(error_of(write({{"key", {}}, {"meta", meta}})), "");  // too far
  const auto with_row = [](const std::string& key, const std::string& value) {
    return error_of(write({{"key", {{key, value}}}, {"meta", {}}}));
  };
  EXPECT_EQ(with_row(row_key(5), record("a", 5)), "");
  EXPECT_NE(with_row("short", record("a", 5)), "");
  EXPECT_NE(with_row(row_key(5), "\x7f"), "");
  EXPECT_NE(with_row(row_key(5), record("a", 6)), "");
  EXPECT_NE(with_row(row_key(5), record("", 5)), "");
  EXPECT_NE(with_row(row_key(INT64_MAX), record("a", INT64_MAX)), "");
  const auto with_lease = [](const std::string& value) {
    return error_of(
        write({{"key", {}}, {"lease", {{std::string(7, '\0') + "\5", value}}}, {"meta", {}}}));
  };
  EXPECT_EQ(with_lease("\x08\x05\x10\x5a"), "");
  EXPECT_NE(with_lease("\x08\x06\x10\x5a"), "");                // of another id
  EXPECT_NE(with_lease(std::string("\x08\x05\x10\0", 4)), "");  // of no time
  EXPECT_NE(with_lease("\x08"), "");
}

TEST(ImportTest, UsersAreNotSilentlyLeftBehind) {
  const auto with = [](const std::string& enabled) {
    return error_of(write({{"auth", {{"authEnabled", enabled}}}, {"key", {}}, {"meta", {}}}));
  };
  EXPECT_EQ(with(std::string(1, '\0')), "");
  EXPECT_NE(with("\x01").find("auth disable"), std::string::npos);
}

}  // namespace
}  // namespace quorate::machine::etcd
