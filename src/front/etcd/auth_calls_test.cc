// Every call of the API by every kind of caller, over a socket.
#include <set>

#include "front/etcd/json_messages.h"
#include "front/etcd/test_line_rig.h"
#include "machine/etcd/auth_messages.h"

namespace quorate::front::etcd {
namespace {

using machine::etcd::MachineFixture;

std::string path_of(std::string_view method) { return "/etcdserverpb." + std::string(method); }

class AuthRig : public LineRig {
 public:
  // root; reader and writer of [b, e); and `other`, who has no role.
  AuthRig() {
    for (const std::string name : {"root", "reader", "writer", "other"}) {
      std::string user;
      write_text(1, name, user);
      write_text(2, "password of " + name, user);
      expect_fine("Auth/UserAdd", user);
    }
    grant_role("root", "root");
    for (const auto& [role, kind] : {std::pair("readers", 0U), std::pair("writers", 1U)}) {
      std::string wire;
      write_text(1, role, wire);
      expect_fine("Auth/RoleAdd", wire);
      std::string permission;
      write_number(1, kind, permission);
      write_text(2, "b", permission);
      write_text(3, "e", permission);
      write_element(2, permission, wire);
      expect_fine("Auth/RoleGrantPermission", wire);
    }
    grant_role("reader", "readers");
    grant_role("writer", "writers");
  }

  void grant_role(std::string_view user, std::string_view role) {
    std::string wire;
    write_text(1, user, wire);
    write_text(2, role, wire);
    expect_fine("Auth/UserGrantRole", wire);
  }
  void expect_fine(std::string_view method, const std::string& message) {
    Caller caller(port(), path_of(method), message);
    EXPECT_EQ(caller.answer().grpc_status(), 0) << method << ": " << caller.answer().grpc_message();
  }
  std::string token_of(const std::string& name) {
    std::string wire;
    write_text(1, name, wire);
    write_text(2, "password of " + name, wire);
    Caller caller(port(), path_of("Auth/Authenticate"), wire);
    EXPECT_EQ(caller.answer().grpc_status(), 0) << caller.answer().grpc_message();
    return caller.text(2);
  }
};

// Why the caller was turned away; empty: it was not, whatever became of the call.
std::string turned_away(uint16_t port, const std::string& path, const std::string& message,
                        const std::string& token) {
  grpc::Headers headers;
  if (!token.empty()) headers.emplace_back("token", token);
  Caller caller(port, path, message, headers);
  // The first bytes may be the connection's own; who is turned away learns it within a few turns.
  if (caller.waits() && caller.waits() && caller.waits()) return {};
  const grpc::TestAnswer& answer = caller.answer();
  const std::string text = answer.grpc_message();
  for (const char* reason : {"etcdserver: permission denied", "etcdserver: user name is empty",
                             "etcdserver: invalid auth token"}) {
    if (text == reason) return text;
  }
  return {};
}

struct Call {
  std::string method;
  std::string message;
  std::string permitted;  // beside root: r reader, w writer, o other, n nobody
};

std::string bytes(std::initializer_list<std::pair<uint32_t, std::string_view>> fields) {
  std::string wire;
  for (const auto& [field, text] : fields) write_text(field, text, wire);
  return wire;
}

std::string number(uint32_t field, uint64_t value, std::string wire = {}) {
  write_number(field, value, wire);
  return wire;
}

std::vector<Call> calls() {
  const std::string range = bytes({{1, "b"}, {2, "e"}});
  std::string put_in_txn;
  write_element(2, bytes({{2, bytes({{1, "b"}})}}), put_in_txn);
  const std::string named = bytes({{1, "nobody here"}, {2, "nothing"}});
  return {
      {"KV/Range", range, "r"},
      {"KV/Range", number(7, 1, range), "r"},  // serializable
      {"KV/Range", bytes({{1, "a"}}), ""},
      {"KV/RangeStream", range, "r"},
      {"KV/RangeStream", bytes({{1, "a"}}), ""},
      {"KV/Put", bytes({{1, "b"}}), "w"},
      {"KV/Put", number(4, 1, bytes({{1, "b"}})), ""},
      {"KV/DeleteRange", range, "w"},
      {"KV/Txn", put_in_txn, "w"},
      {"KV/Compact", number(1, 1), ""},
      {"KV/Compact", number(2, 1, number(1, 1)), ""},
      {"Lease/LeaseGrant", number(1, 100), "rwo"},
      {"Lease/LeaseRevoke", number(1, 99), "rwo"},
      {"Lease/LeaseTimeToLive", number(1, 99), "rwo"},
      {"Lease/LeaseLeases", "", "rwo"},
      {"Lease/LeaseKeepAlive", number(1, 99), "rwo"},
      {"Cluster/MemberList", "", "rwo"},
      {"Cluster/MemberAdd", bytes({{1, "http://10.0.0.9:2380"}}), ""},
      {"Cluster/MemberRemove", number(1, 9), ""},
      {"Cluster/MemberUpdate", number(1, 9, ""), ""},
      {"Cluster/MemberPromote", number(1, 9), ""},
      {"Maintenance/Status", "", "rwo"},
      {"Maintenance/Hash", "", ""},
      {"Maintenance/HashKV", "", ""},
      {"Maintenance/MoveLeader", number(1, 9), ""},
      {"Maintenance/Alarm", "", "rwo"},
      {"Maintenance/Alarm", number(3, 1, number(1, 2)), ""},  // disarm
      {"Maintenance/Defragment", "", ""},
      {"Maintenance/Snapshot", "", ""},
      {"Auth/AuthStatus", "", "rwon"},
      {"Auth/Authenticate", named, "rwon"},
      {"Auth/AuthEnable", "", ""},
      {"Auth/UserAdd", bytes({{1, "root"}, {2, "x"}}), ""},
      {"Auth/UserGet", named, ""},
      {"Auth/UserGet", bytes({{1, "reader"}}), "r"},
      {"Auth/UserList", "", ""},
      {"Auth/UserDelete", named, ""},
      {"Auth/UserChangePassword", named, ""},
      {"Auth/UserGrantRole", named, ""},
      {"Auth/UserRevokeRole", named, ""},
      {"Auth/RoleAdd", bytes({{1, "readers"}}), ""},
      {"Auth/RoleGet", bytes({{1, "writers"}}), "w"},
      {"Auth/RoleList", "", ""},
      {"Auth/RoleDelete", bytes({{1, "nothing"}}), ""},
      {"Auth/RoleGrantPermission", named, ""},
      {"Auth/RoleRevokePermission", named, ""},
      {"Auth/AuthDisable", "", ""},  // the last one: it works
  };
}

TEST(AuthCalls, each_is_let_through_for_whom_it_is_permitted_and_nobody_else) {
  AuthRig rig;
  const std::vector<Call> all = calls();
  for (const std::string& token : {std::string(), std::string("nonsense")}) {
    for (const Call& call : all) {  // while auth is off nobody is asked
      if (call.method == "Auth/AuthEnable") continue;
      EXPECT_EQ(turned_away(rig.port(), path_of(call.method), call.message, token), "")
          << call.method;
    }
  }
  rig.expect_fine("Auth/AuthEnable", "");
  const std::vector<std::pair<char, std::string>> callers = {{'r', rig.token_of("reader")},
                                                             {'w', rig.token_of("writer")},
                                                             {'o', rig.token_of("other")},
                                                             {'n', ""}};
  const std::string root = rig.token_of("root");
  for (const Call& call : all) {
    SCOPED_TRACE(call.method);
    const auto away = [&](const std::string& token) {
      return turned_away(rig.port(), path_of(call.method), call.message, token);
    };
    for (const auto& [letter, token] : callers) {
      const bool permitted = call.permitted.find(letter) != std::string::npos;
      const char* reason =
          token.empty() ? "etcdserver: user name is empty" : "etcdserver: permission denied";
      EXPECT_EQ(away(token), permitted ? "" : reason) << letter;
    }
    const bool open = call.permitted.find('n') != std::string::npos;
    EXPECT_EQ(away("abcdefghijklmnop.1"), open ? "" : "etcdserver: invalid auth token");
    EXPECT_EQ(away(root), "");
  }
  EXPECT_EQ(turned_away(rig.port(), path_of("KV/Range"), bytes({{1, "a"}}), ""), "");
}

TEST(AuthCalls, the_list_has_every_call_that_the_gateway_knows) {
  std::set<std::string> listed = {"Watch/Watch"};  // below
  for (const Call& call : calls()) listed.insert(call.method);
  for (const JsonRoute& route : json_routes()) {
    const std::string method(route.method);
    if (method.find("Lock/") != std::string::npos) continue;  // below
    if (method.find("Election/") != std::string::npos) continue;
    const size_t dot = method.rfind('.');
    EXPECT_TRUE(listed.contains(dot == std::string::npos ? method : method.substr(dot + 1)))
        << method;
  }
}

TEST(AuthCalls, locks_and_elections_want_the_keys_they_are_made_of) {
  AuthRig rig;
  rig.expect_fine("Auth/AuthEnable", "");
  // "c/" and what follows is in [b, e), but each has only half of the rights.
  const std::string office = bytes({{1, bytes({{2, "c/1"}})}});
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"/v3lockpb.Lock/Lock", bytes({{1, "c"}})},
      {"/v3electionpb.Election/Campaign", bytes({{1, "c"}})},
      {"/v3electionpb.Election/Proclaim", office}};
  const std::string reader = rig.token_of("reader");
  const std::string writer = rig.token_of("writer");
  for (const auto& [path, message] : lines) {
    for (const std::string& token : {reader, writer}) {
      EXPECT_EQ(turned_away(rig.port(), path, message, token), "etcdserver: permission denied")
          << path;
    }
    EXPECT_EQ(turned_away(rig.port(), path, message, ""), "etcdserver: user name is empty") << path;
    EXPECT_EQ(turned_away(rig.port(), path, message, rig.token_of("root")), "") << path;
  }
  for (const char* method : {"Leader", "Observe"}) {
    const std::string path = std::string("/v3electionpb.Election/") + method;
    EXPECT_EQ(turned_away(rig.port(), path, bytes({{1, "c"}}), reader), "") << path;
    EXPECT_EQ(turned_away(rig.port(), path, bytes({{1, "c"}}), writer),
              "etcdserver: permission denied")
        << path;
  }
  EXPECT_EQ(turned_away(rig.port(), "/v3lockpb.Lock/Unlock", bytes({{1, "c/1"}}), reader),
            "etcdserver: permission denied");
  EXPECT_EQ(turned_away(rig.port(), "/v3lockpb.Lock/Unlock", bytes({{1, "c/1"}}), writer), "");
}

TEST(AuthCalls, watchers_are_told_why_they_are_not_made) {
  AuthRig rig;
  rig.expect_fine("Auth/AuthEnable", "");
  const auto first_answer = [&](const std::string& range, const std::string& token) {
    std::string message;
    write_element(1, range, message);
    Caller caller(rig.port(), path_of("Watch/Watch"), message, {{"token", token}});
    EXPECT_TRUE(caller.waits());  // the stream goes on
    return caller.answer_so_far();
  };
  const std::string reader = rig.token_of("reader");
  const std::string denied =
      "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
  const std::string zero(1, '\0');
  const auto reason = [](const std::string& message) {
    const auto field = read_field(message, 6);
    return field ? std::string(field->text) : "malformed";
  };
  EXPECT_EQ(reason(first_answer(bytes({{1, "b"}, {2, "e"}}), reader)), "");
  EXPECT_EQ(reason(first_answer(bytes({{1, "a"}}), reader)), denied);
  EXPECT_EQ(reason(first_answer(bytes({{1, "b"}, {2, zero}}), reader)), denied);
  EXPECT_EQ(reason(first_answer(bytes({{2, zero}}), reader)), denied);  // no key: from the first on
  EXPECT_EQ(reason(first_answer(bytes({{1, "b"}}), rig.token_of("writer"))), denied);
  EXPECT_EQ(reason(first_answer(bytes({{1, "b"}}), "abcdefghijklmnop.1")),
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token");
}

TEST(AuthCalls, a_token_that_is_not_known_yet_waits_for_a_barrier_and_then_is_refused) {
  AuthRig rig;
  rig.expect_fine("Auth/AuthEnable", "");
  uint64_t before = 0;
  rig.on_loop([&] { before = rig.service().barriers; });
  EXPECT_EQ(
      turned_away(rig.port(), path_of("KV/Put"), bytes({{1, "b"}}), "abcdefghijklmnop.999999"),
      "etcdserver: invalid auth token");
  rig.on_loop([&] { EXPECT_EQ(rig.service().barriers, before + 1); });
}

TEST(AuthCalls, passwords_that_bcrypt_would_not_read_whole_are_refused) {
  AuthRig rig;
  const auto add = [&](const std::string& password) {
    std::string user;
    write_text(1, "new", user);
    write_text(2, password, user);
    Caller caller(rig.port(), path_of("Auth/UserAdd"), user);
    return caller.answer().grpc_status();
  };
  EXPECT_EQ(add(std::string(73, 'x')), 3);
  EXPECT_EQ(add(std::string("a\0b", 3)), 3);
  EXPECT_EQ(add(std::string(72, 'x')), 0);
}

}  // namespace
}  // namespace quorate::front::etcd
