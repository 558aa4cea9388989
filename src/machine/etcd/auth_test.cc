// The auth store: what changes it, who may do what, and what survives.
#include <algorithm>
#include <functional>

#include "machine/etcd/access_check.h"
#include "machine/etcd/auth_book.h"
#include "machine/etcd/auth_fixture.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::machine::etcd {
namespace {

TEST(PermittedRanges, joins_what_overlaps_or_touches) {
  PermittedRanges ranges;
  ranges.add("b", "d");
  ranges.add("f", "h");
  EXPECT_EQ(ranges.pieces(), 2U);
  EXPECT_TRUE(ranges.contains("b", "d"));
  EXPECT_TRUE(ranges.contains("c", {}));
  EXPECT_FALSE(ranges.contains("d", {}));
  EXPECT_FALSE(ranges.contains("a", "c"));
  EXPECT_FALSE(ranges.contains("b", "g"));
  ranges.add("d", "f");  // touches both
  EXPECT_EQ(ranges.pieces(), 1U);
  EXPECT_TRUE(ranges.contains("b", "h"));
  EXPECT_FALSE(ranges.contains("b", std::string_view("\0", 1)));
  ranges.add("g", std::string_view("\0", 1));
  EXPECT_EQ(ranges.pieces(), 1U);
  EXPECT_TRUE(ranges.contains("b", std::string_view("\0", 1)));
  EXPECT_TRUE(ranges.contains("zzz", {}));
  EXPECT_FALSE(ranges.contains("a", std::string_view("\0", 1)));
}

TEST(PermittedRanges, a_single_key_is_no_more_than_itself) {
  PermittedRanges ranges;
  ranges.add("a", {});
  EXPECT_TRUE(ranges.contains("a", {}));
  EXPECT_FALSE(ranges.contains("a", "b"));
  EXPECT_FALSE(ranges.contains(std::string_view("a\0", 2), {}));
  EXPECT_TRUE(ranges.contains("a", std::string_view("a\0", 2)));
  ranges.add("c", "b");  // no keys
  ranges.add("c", "c");
  EXPECT_EQ(ranges.pieces(), 1U);
  EXPECT_FALSE(ranges.contains("c", "b"));
}

// Against a set of all keys of three letters over a small alphabet.
TEST(PermittedRanges, agrees_with_a_naive_set_of_keys) {
  const std::string_view letters("\0ab\xff", 4);
  std::vector<std::string> keys = {""};
  for (size_t from = 0, round = 0; round < 2; ++round) {
    const size_t to = keys.size();
    for (; from < to; ++from) {
      for (const char letter : letters) keys.push_back(keys[from] + letter);
    }
  }
  std::ranges::sort(keys);
  uint64_t state = 7;
  const auto random_key = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return keys[(state >> 33U) % keys.size()];
  };
  const auto holds = [](const std::string& key, const std::string& first, const std::string& end) {
    if (end.empty()) return key == first;
    return first <= key && (end == std::string(1, '\0') || key < end);
  };
  for (int round = 0; round < 2000; ++round) {
    PermittedRanges ranges;
    std::vector<std::pair<std::string, std::string>> added;
    for (int count = 0; count < 4; ++count) {
      added.emplace_back(random_key(), random_key());
      ranges.add(added.back().first, added.back().second);
    }
    for (const std::string& key : keys) {
      const bool wanted = std::ranges::any_of(
          added, [&](const auto& each) { return holds(key, each.first, each.second); });
      ASSERT_EQ(ranges.contains(key, {}), wanted);
    }
    const std::string first = random_key();
    const std::string end = random_key();
    if (!ranges.contains(first, end)) continue;
    for (const std::string& key : keys) {  // nothing is let in by joining
      ASSERT_TRUE(!holds(key, first, end) || ranges.contains(key, {}));
    }
  }
}

TEST(Auth, every_change_is_refused_in_etcds_order_and_counted) {
  AuthFixture state;
  EXPECT_EQ(state.auth().revision(), 1U);
  EXPECT_EQ(state.enable(), Code::root_user_missing);
  EXPECT_EQ(state.add_user(""), Code::user_empty);
  EXPECT_EQ(state.add_user("root"), Code::ok);
  EXPECT_EQ(state.add_user("root"), Code::user_exists);
  EXPECT_EQ(state.enable(), Code::root_role_missing);
  EXPECT_EQ(state.names(AuthOperation::user_grant_role, "nobody", "root"), Code::user_not_found);
  EXPECT_EQ(state.names(AuthOperation::user_grant_role, "root", "nothing"), Code::role_not_found);
  EXPECT_EQ(state.names(AuthOperation::user_grant_role, "root", "root"), Code::ok);
  EXPECT_EQ(state.auth().revision(), 3U);
  EXPECT_EQ(state.names(AuthOperation::user_grant_role, "root", "root"), Code::ok);
  EXPECT_EQ(state.auth().revision(), 3U);  // nothing changed
  EXPECT_EQ(state.names(AuthOperation::role_add, ""), Code::role_empty);
  EXPECT_EQ(state.names(AuthOperation::role_add, "r"), Code::ok);
  EXPECT_EQ(state.names(AuthOperation::role_add, "r"), Code::role_exists);
  EXPECT_EQ(state.permit("nothing", PermissionKind::read, "a"), Code::role_not_found);
  EXPECT_EQ(state.permit("r", PermissionKind::read, "b", "a"), Code::invalid_auth_management);
  EXPECT_EQ(state.permit("r", PermissionKind::write, ""), Code::invalid_auth_management);
  std::string no_permission;
  encode(NamedRequest{"r", {}}, no_permission);
  EXPECT_EQ(state.change(AuthOperation::role_grant_permission, no_permission, {}),
            Code::permission_not_given);
  EXPECT_EQ(state.permit("r", PermissionKind::read, "a", "b"), Code::ok);
  EXPECT_EQ(state.permit("r", PermissionKind::write, "a", "b"), Code::ok);
  EXPECT_EQ(state.auth().find_role("r")->permissions.size(), 1U);  // replaced
  EXPECT_EQ(state.names(AuthOperation::role_revoke_permission, "r", "a"),
            Code::permission_not_granted);
  EXPECT_EQ(state.names(AuthOperation::user_revoke_role, "root", "r"), Code::role_not_granted);
  EXPECT_EQ(state.password("nobody", "x"), Code::user_not_found);
  EXPECT_EQ(state.names(AuthOperation::user_delete, "nobody"), Code::user_not_found);
  EXPECT_EQ(state.names(AuthOperation::role_delete, "nothing"), Code::role_not_found);
  EXPECT_EQ(state.auth().revision(), 6U);
  EXPECT_EQ(state.enable(), Code::ok);
  EXPECT_EQ(state.auth().revision(), 6U);
  EXPECT_EQ(state.names(AuthOperation::user_delete, "root"), Code::invalid_auth_management);
  EXPECT_EQ(state.names(AuthOperation::user_revoke_role, "root", "root"),
            Code::invalid_auth_management);
  EXPECT_EQ(state.names(AuthOperation::role_delete, "root"), Code::invalid_auth_management);
  EXPECT_EQ(state.disable(), Code::ok);
  EXPECT_EQ(state.auth().revision(), 7U);
  EXPECT_EQ(state.change(static_cast<AuthOperation>(13), {}, {}), Code::malformed);
  EXPECT_EQ(state.as({}, CommandKind::auth, std::string_view()), Code::malformed);
}

TEST(Auth, a_deleted_role_goes_from_its_users) {
  AuthFixture state;
  state.found();
  ASSERT_EQ(state.names(AuthOperation::role_delete, "writers"), Code::ok);
  EXPECT_TRUE(state.auth().find_user("writer")->roles.empty());
  EXPECT_EQ(state.as(state.caller("writer"), CommandKind::put, put_of("b")),
            Code::permission_denied);
}

struct Case {
  const char* name;
  std::function<Code(AuthFixture&, const Caller&)> run;
  // nobody, unknown user, reader, writer; root may everything.
  Code nobody, unknown, reader, writer;
};

constexpr Code kYes = Code::ok;
constexpr Code kNo = Code::permission_denied;
constexpr Code kWho = Code::user_empty;
constexpr Code kStranger = Code::user_not_found;  // where root is wanted

Code run_txn(AuthFixture& state, const Caller& who, const TxnRequest& txn) {
  return state.as(who, CommandKind::txn, txn);
}

const auto put = [](std::string key, int64_t lease, bool previous) {
  return [=](AuthFixture& state, const Caller& who) {
    return state.as(who, CommandKind::put, put_of(key, lease, previous));
  };
};
const auto remove = [](std::string key, std::string end, bool previous) {
  return [=](AuthFixture& state, const Caller& who) {
    return state.as(who, CommandKind::delete_range, DeleteRangeRequest{key, end, previous});
  };
};
const auto compare = [](std::string key) {
  return [=](AuthFixture& state, const Caller& who) {
    TxnRequest txn;
    txn.compare.emplace_back().key = key;
    return run_txn(state, who, txn);
  };
};
const auto nested = [](RequestOp inner, bool taken) {
  return [=](AuthFixture& state, const Caller& who) {
    TxnRequest within;
    (taken ? within.success : within.failure).push_back(inner);
    TxnRequest txn;
    txn.failure.push_back({within});  // not taken: it must be permitted all the same
    return run_txn(state, who, txn);
  };
};
const auto revoke = [](int64_t lease, uint64_t life) {
  return [=](AuthFixture& state, const Caller& who) {
    return state.as(who, CommandKind::lease_revoke, LeaseRevokeRequest{lease, life});
  };
};
const auto kind = [](CommandKind command, std::string request) {
  return [=](AuthFixture& state, const Caller& who) { return state.as(who, command, request); };
};

std::vector<Case> cases() {
  static const std::string zero(1, '\0');
  return {
      {"put in range", put("b", 0, false), kWho, kNo, kNo, kYes},
      {"put outside", put("e", 0, false), kWho, kNo, kNo, kNo},
      {"put with previous", put("b", 0, true), kWho, kNo, kNo, kNo},
      {"put on a lease with a foreign key", put("b", 7, false), kWho, kNo, kNo, kNo},
      {"put on a lease of its own", put("b", 8, false), kWho, kNo, kNo, kYes},
      {"delete in range", remove("b", "e", false), kWho, kNo, kNo, kYes},
      {"delete wider", remove("b", "f", false), kWho, kNo, kNo, kNo},
      {"delete from key", remove("b", zero, false), kWho, kNo, kNo, kNo},
      {"delete all", remove(zero, zero, false), kWho, kNo, kNo, kNo},
      {"delete with previous", remove("b", "e", true), kWho, kNo, kNo, kNo},
      {"empty transaction",
       [](AuthFixture& state, const Caller& who) { return run_txn(state, who, {}); }, kWho, kNo,
       kYes, kYes},
      {"compare in range", compare("b"), kWho, kNo, kYes, kNo},
      {"compare outside", compare("a"), kWho, kNo, kNo, kNo},
      {"nested put", nested({put_of("b")}, true), kWho, kNo, kNo, kYes},
      {"nested put outside", nested({put_of("a")}, false), kWho, kNo, kNo, kNo},
      {"nested put on a foreign lease", nested({put_of("b", 7)}, false), kWho, kNo, kNo, kNo},
      {"nested range", nested({range_of("b", "e")}, false), kWho, kNo, kYes, kNo},
      {"nested range outside", nested({range_of("a", zero)}, false), kWho, kNo, kNo, kNo},
      {"nested delete", nested({DeleteRangeRequest{"b", "e", false}}, false), kWho, kNo, kNo, kYes},
      {"nested delete with previous", nested({DeleteRangeRequest{"b", "e", true}}, true), kWho, kNo,
       kNo, kNo},
      {"compaction", kind(CommandKind::compact, MachineFixture::wire(CompactionRequest{1, false})),
       kWho, kStranger, kNo, kNo},
      {"revoke of a lease with a foreign key", revoke(7, 0), kWho, kNo, kNo, kNo},
      {"revoke of a lease of its own", revoke(8, 0), kWho, kNo, kNo, kYes},
      {"revoke of none", revoke(99, 0), kWho, kNo, Code::lease_not_found, Code::lease_not_found},
      {"the leader's revoke", revoke(99, 5), Code::lease_not_found, Code::lease_not_found,
       Code::lease_not_found, Code::lease_not_found},
      {"checkpoint", kind(CommandKind::lease_checkpoint, ""), kYes, kYes, kYes, kYes},
      {"disable", kind(CommandKind::auth, std::string(1, 2)), kWho, kStranger, kNo, kNo},
      {"add a role", kind(CommandKind::auth, std::string(1, 8) + "\x0a\x01z"), kWho, kStranger, kNo,
       kNo},
      {"login with a wrong revision", kind(CommandKind::auth, std::string(1, 12) + "\x0a\x04root"),
       Code::auth_old_revision, Code::auth_old_revision, Code::auth_old_revision,
       Code::auth_old_revision},
  };
}

class Kinds : public AuthFixture {
 public:
  Kinds() {
    LeaseGrantRequest grant;
    grant.ttl = 100;
    for (grant.id = 7; grant.id <= 8; ++grant.id) {
      EXPECT_EQ(apply(CommandKind::lease_grant, wire(grant)).code, 0);
    }
    EXPECT_EQ(put(put_of("zz", 7)).code, Code::ok);
    EXPECT_EQ(put(put_of("c", 8)).code, Code::ok);
    found();
  }
};

TEST(Auth, who_may_do_what) {
  for (const Case& each : cases()) {
    const auto run = [&](std::string_view user) {
      Kinds state;  // a new one: what is permitted changes it
      const int64_t before = state.machine().revisions().current;
      const Code code = each.run(state, user.empty() ? Caller{} : state.caller(user));
      if (code != Code::ok) {
        EXPECT_EQ(state.machine().revisions().current, before) << each.name;
      }
      state.commit();
      state.machine().check_invariants();
      return code;
    };
    EXPECT_EQ(run(""), each.nobody) << each.name;
    EXPECT_EQ(run("unknown"), each.unknown) << each.name;
    EXPECT_EQ(run("reader"), each.reader) << each.name;
    EXPECT_EQ(run("writer"), each.writer) << each.name;
    const Code root = run("root");
    EXPECT_TRUE(root == Code::ok || root == each.writer) << each.name;
  }
}

TEST(Auth, permits_everything_while_it_is_off) {
  for (const Case& each : cases()) {
    Kinds state;
    ASSERT_EQ(state.disable(), Code::ok);
    const Code code = each.run(state, {});
    EXPECT_TRUE(code == Code::ok || code == Code::lease_not_found || code == Code::auth_not_enabled)
        << each.name;
  }
}

TEST(Auth, queries_are_checked_by_the_same_ranges) {
  AuthFixture state;
  state.found();
  const AuthBook& auth = state.auth();
  EXPECT_EQ(check_access(auth, state.caller("reader"), range_of("b", "e")), Code::ok);
  EXPECT_EQ(check_access(auth, state.caller("reader"), range_of("b", "f")),
            Code::permission_denied);
  EXPECT_EQ(check_access(auth, state.caller("writer"), range_of("b")), Code::permission_denied);
  EXPECT_EQ(check_access(auth, {}, range_of("b")), Code::user_empty);
  EXPECT_EQ(check_access(auth, {{}, 0, true}, range_of("a")), Code::ok);
}

TEST(Auth, what_was_true_at_an_old_revision_is_refused) {
  AuthFixture state;
  state.found();
  const Caller before = state.caller("writer");
  ASSERT_EQ(state.as(before, CommandKind::put, put_of("b")), Code::ok);
  ASSERT_EQ(state.names(AuthOperation::role_add, "another"), Code::ok);
  EXPECT_EQ(state.as(before, CommandKind::put, put_of("b")), Code::auth_old_revision);
  EXPECT_EQ(state.as(state.caller("writer"), CommandKind::put, put_of("b")), Code::ok);
}

TEST(Auth, tokens_are_void_after_a_new_password_and_after_auth_was_off) {
  AuthFixture state;
  state.found();
  ASSERT_EQ(state.login("writer", state.auth().revision()), Code::ok);
  const uint64_t then = state.auth().revision();
  std::vector<TokenNews> news;
  state.auth().tokens_after({}, [&](const TokenNews& each) { news.push_back(each); });
  ASSERT_EQ(news.size(), 1U);
  EXPECT_EQ(news[0].token, "prefix." + std::to_string(state.machine().applied().value));
  EXPECT_EQ(state.body,
            std::string("\x12") + static_cast<char>(news[0].token.size()) + news[0].token);
  EXPECT_EQ(news[0].user, "writer");
  EXPECT_TRUE(state.auth().still_proven("writer", then));
  ASSERT_EQ(state.password("reader", "other"), Code::ok);
  EXPECT_TRUE(state.auth().still_proven("writer", then));
  ASSERT_EQ(state.password("writer", "other"), Code::ok);
  EXPECT_FALSE(state.auth().still_proven("writer", then));
  const uint64_t later = state.auth().revision();
  ASSERT_EQ(state.disable(), Code::ok);
  EXPECT_EQ(state.login("writer", state.auth().revision()), Code::auth_not_enabled);
  ASSERT_EQ(state.enable(), Code::ok);
  EXPECT_FALSE(state.auth().still_proven("writer", later));
  EXPECT_FALSE(state.auth().still_proven("nobody", state.auth().revision()));
  EXPECT_EQ(state.login("nobody", state.auth().revision()), Code::auth_failed);
  // Roots of old do not rule either.
  EXPECT_EQ(state.change(AuthOperation::disable, {}, {"root", 1, false}), Code::auth_old_revision);
}

TEST(Auth, is_there_again_after_a_restart_and_in_the_hash) {
  AuthFixture state;
  const auto rows_hash = [&] { return state.auth().add_to_hash(1); };
  EXPECT_EQ(rows_hash(), 1U);
  state.found();
  ASSERT_EQ(state.names(AuthOperation::role_add, "gone"), Code::ok);
  ASSERT_EQ(state.names(AuthOperation::role_delete, "gone"), Code::ok);
  ASSERT_EQ(state.add_user("gone"), Code::ok);
  ASSERT_EQ(state.names(AuthOperation::user_delete, "gone"), Code::ok);
  state.commit();
  state.machine().start_flush();
  const uint64_t revision = state.auth().revision();
  const uint32_t hash = rows_hash();
  state.open();
  EXPECT_TRUE(state.auth().enabled());
  EXPECT_EQ(state.auth().revision(), revision);
  EXPECT_EQ(rows_hash(), hash);
  EXPECT_EQ(state.auth().find_user("gone"), nullptr);
  EXPECT_EQ(state.auth().find_role("gone"), nullptr);
  EXPECT_EQ(state.auth().find_user("writer")->hash, "hash of writer");
  EXPECT_EQ(state.as(state.caller("writer"), CommandKind::put, put_of("b")), Code::ok);
  EXPECT_EQ(state.as(state.caller("writer"), CommandKind::put, put_of("a")),
            Code::permission_denied);
}

TEST(Auth, commands_without_a_caller_are_written_as_they_always_were) {
  const std::string request("\x0a\x01k", 3);
  const std::string old = std::string("\x01\x01", 2) + request;  // as main wrote them before auth
  EXPECT_EQ(make_command(CommandKind::put, request).view(), old);
  EXPECT_EQ(make_command(CommandKind::put, request, {}).view(), old);
  const auto opened = open_command(old);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->request, request);
  EXPECT_TRUE(opened->caller.user.empty());
  EXPECT_FALSE(opened->caller.system);
  const Bytes with = make_command(CommandKind::put, request, {"bob", 9, false});
  const auto back = open_command(with.view());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->caller.user, "bob");
  EXPECT_EQ(back->caller.auth_revision, 9U);
  EXPECT_EQ(back->request, request);
  for (size_t size = 0; size < with.size() - request.size(); ++size) {
    EXPECT_FALSE(open_command(with.view().substr(0, size))) << size;
  }
  EXPECT_FALSE(open_command(std::string("\x03\x01", 2) + request));
  EXPECT_FALSE(open_command(std::string("\x01\x1f", 2) + request));
}

}  // namespace
}  // namespace quorate::machine::etcd
