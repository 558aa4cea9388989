// What a backup holds makes a machine that answers the same; what no etcd wrote is refused.
#include "machine/etcd/import.h"

#include <gtest/gtest.h>

#include "machine/etcd/auth_book.h"
#include "machine/etcd/backup.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"
#include "storage/bolt/writer.h"
#include "storage/mvcc/protobuf.h"
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

Reply change_auth(MachineFixture& fixture, AuthOperation operation, const std::string& wire) {
  return fixture.apply(CommandKind::auth, std::string(1, static_cast<char>(operation)) + wire);
}

// A message of authpb with a name, and what follows it.
std::string named(const std::string& name, const std::string& rest) {
  std::string out;
  protobuf::write_bytes(1, name, out);
  return out + rest;
}

std::string role_permitting(const Permission& permission) {
  std::string out;
  encode(permission, out);
  std::string rest;
  protobuf::write_present(2, out, rest);
  return rest;
}

TEST(ImportTest, UsersAndRolesComeOver) {
  MachineFixture fixture;
  using enum AuthOperation;
  const auto named_wire = [](std::string_view first, std::string_view second) {
    return MachineFixture::wire(NamedRequest{first, second});
  };
  for (const char* name : {"root", "bob"}) {
    UserRequest request;
    request.name = name;
    request.hash = "$2b$04$hash of one";
    std::string wire;
    encode_user_add(request, wire);
    EXPECT_EQ(change_auth(fixture, user_add, wire).code, 0);
  }
  std::string certificate;
  encode_user_add({"cert", {}, true, {}}, certificate);
  EXPECT_EQ(change_auth(fixture, user_add, certificate).code, 0);
  for (const char* name : {"root", "reader"}) {
    EXPECT_EQ(change_auth(fixture, role_add, named_wire(name, {})).code, 0);
  }
  const std::string grant = named("reader", role_permitting({PermissionKind::read, "a", "c"}));
  EXPECT_EQ(change_auth(fixture, role_grant_permission, grant).code, 0);
  EXPECT_EQ(change_auth(fixture, user_grant_role, named_wire("root", "root")).code, 0);
  EXPECT_EQ(change_auth(fixture, user_grant_role, named_wire("bob", "reader")).code, 0);
  EXPECT_EQ(change_auth(fixture, enable, {}).code, 0);
  storage::TestDisk disk;
  const auto machine = machine_of(disk, backup_of(fixture));
  ASSERT_NE(machine, nullptr);
  const AuthBook& before = *fixture.machine().auth();
  const AuthBook& after = *machine->auth();
  EXPECT_TRUE(after.enabled());
  EXPECT_EQ(after.revision(), before.revision());
  ASSERT_EQ(after.users().size(), 3U);
  ASSERT_EQ(after.roles().size(), 2U);
  EXPECT_EQ(after.find_user("bob")->hash, "$2b$04$hash of one");
  EXPECT_EQ(after.find_user("bob")->roles, before.find_user("bob")->roles);
  EXPECT_TRUE(after.find_user("cert")->no_password);
  EXPECT_FALSE(after.find_user("bob")->no_password);
  EXPECT_EQ(after.find_role("reader")->permissions, before.find_role("reader")->permissions);
  Caller bob;
  bob.user = "bob";
  bob.auth_revision = after.revision();
  EXPECT_EQ(after.check_range(bob, "a", "c", Access::read), Code::ok);
  EXPECT_EQ(after.check_range(bob, "a", "d", Access::read), Code::permission_denied);
  EXPECT_EQ(after.check_range(bob, "a", "", Access::write), Code::permission_denied);
  EXPECT_EQ(after.check_root(bob), Code::permission_denied);
  // What was proven before the last change is not believed.
  bob.auth_revision = after.revision() - 1;
  EXPECT_EQ(after.check_user(bob), Code::auth_old_revision);
}

TEST(ImportTest, WithoutAuthNothingIsWrittenOfIt) {
  MachineFixture fixture;
  fixture.put("a", "1");
  storage::TestDisk disk;
  const std::string file = write(
      {{"auth",
        {{"authEnabled", std::string(1, '\0')}, {"authRevision", std::string(7, '\0') + "\1"}}},
       {"authRoles", {}},
       {"authUsers", {}},
       {"key", {{row_key(2), record("a", 2)}}},
       {"meta", {}}});
  const auto machine = machine_of(disk, file);
  ASSERT_NE(machine, nullptr);
  EXPECT_FALSE(machine->auth()->enabled());
  EXPECT_EQ(machine->auth()->add_to_hash(7), 7U);
}

TEST(ImportTest, AuthThatNoEtcdWroteIsRefused) {
  const auto with = [](const std::string& bucket, const std::string& key,
                       const std::string& value) {
    return error_of(write({{bucket, {{key, value}}}, {"key", {}}, {"meta", {}}}));
  };
  EXPECT_EQ(with("auth", "authEnabled", "\x01"), "");
  EXPECT_NE(with("auth", "authEnabled", "\x02"), "");
  EXPECT_NE(with("auth", "authEnabled", "\x01\x01"), "");
  EXPECT_NE(with("auth", "authRevision", "\x01"), "");
  EXPECT_NE(with("auth", "authRevision", std::string(8, '\xff')), "");
  EXPECT_EQ(with("authUsers", "bob", named("bob", "")), "");
  EXPECT_NE(with("authUsers", "eve", named("bob", "")), "");
  EXPECT_NE(with("authUsers", "bob",
                 "\x0a\x07"
                 "bob"),
            "");
  EXPECT_NE(with("authUsers", "bob", named("bob", "\x22\x01\x08")), "");  // options cut short
  EXPECT_EQ(with("authRoles", "r", named("r", role_permitting({PermissionKind::write, "a", ""}))),
            "");
  EXPECT_NE(with("authRoles", "s", named("r", "")), "");
  EXPECT_NE(with("authRoles", "r", named("r", "\x12\x02\x08\x03")), "");  // a fourth kind
}

TEST(ImportTest, WhoHasNeitherAPasswordNorSaysSoGetsNoToken) {
  storage::TestDisk disk;
  const auto machine = machine_of(disk, write({{"auth", {{"authEnabled", "\x01"}}},
                                               {"authUsers", {{"bob", named("bob", "")}}},
                                               {"key", {}},
                                               {"meta", {}}}));
  ASSERT_NE(machine, nullptr);
  AuthenticateRequest request;
  request.name = "bob";
  request.token_prefix = "letters";
  request.checked_revision = machine->auth()->revision();
  std::string wire(1, static_cast<char>(AuthOperation::authenticate));
  encode(request, wire);
  Reply reply;
  machine->apply_command(Index{41}, 2, make_command(CommandKind::auth, wire), &reply);
  EXPECT_EQ(static_cast<Code>(reply.code), Code::auth_failed);
}

TEST(ImportTest, ARangeThatStandsThereTwicePermitsWhatBothSay) {
  const std::string twice = role_permitting({PermissionKind::read, "a", "b"}) +
                            role_permitting({PermissionKind::write, "a", "b"}) +
                            role_permitting({PermissionKind::read, "c", ""});
  Database database(write({{"authRoles", {{"r", named("r", twice)}}}, {"key", {}}, {"meta", {}}}));
  const auto content = look_through(*database);
  ASSERT_TRUE(content);
  const auto& permissions = content->auth.roles.at("r").permissions;
  ASSERT_EQ(permissions.size(), 2U);
  EXPECT_EQ(permissions.at({"a", "b"}), PermissionKind::read_write);
  EXPECT_EQ(permissions.at({"c", ""}), PermissionKind::read);
}

}  // namespace
}  // namespace quorate::machine::etcd
