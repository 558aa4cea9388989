#include <gtest/gtest.h>

#include <sstream>

#include "app/commands.h"
#include "app/output.h"
#include "app/session.h"
#include "app/txn_text.h"
#include "app/urls.h"

namespace quorate::app {
namespace {

using front::grpc::Answer;
using front::grpc::Fate;

TEST(Session, OnlyWhatIsSureCountsAsNotApplied) {
  const std::pair<Answer, Verdict> cases[] = {
      {{Fate::answered, 0, "", ""}, Verdict::done},
      {{Fate::not_sent, 0, "", ""}, Verdict::unavailable},
      {{Fate::lost, 0, "", ""}, Verdict::unknown},
      {{Fate::answered, 14, "etcdserver: no leader", ""}, Verdict::unavailable},
      {{Fate::answered, 14, "etcdserver: leader changed", ""}, Verdict::unavailable},
      {{Fate::answered, 14, "etcdserver: request timed out", ""}, Verdict::unknown},
      {{Fate::answered, 14, "etcdserver: server stopped", ""}, Verdict::unknown},
      {{Fate::answered, 8, "etcdserver: too many requests", ""}, Verdict::unavailable},
      {{Fate::answered, 8, "etcdserver: mvcc: database space exceeded", ""}, Verdict::refused},
      {{Fate::answered, 14, "etcdserver: unhealthy cluster", ""}, Verdict::unavailable},
      {{Fate::answered, 9, "etcdserver: rpc not supported for learner", ""}, Verdict::unavailable},
      {{Fate::answered, 2, "etcdserver: re-configuration failed due to not enough started members",
        ""},
       Verdict::refused},
      {{Fate::answered, 4, "context deadline exceeded", ""}, Verdict::unknown},
      {{Fate::answered, 3, "etcdserver: key is not provided", ""}, Verdict::refused}};
  for (const auto& [answer, expected] : cases) {
    EXPECT_EQ(judge_write(answer), expected) << answer.message;
  }
  EXPECT_EQ(judge_read({Fate::lost, 0, "", ""}), Verdict::unavailable);
  EXPECT_EQ(judge_read({Fate::answered, 11, "compacted", ""}), Verdict::refused);
}

TEST(Session, AClosedPortIsUnavailableInBoundedTime) {
  Access access;
  access.endpoints = {"127.0.0.1:1"};
  access.timeout = std::chrono::milliseconds(300);
  Session session(access);
  EXPECT_EQ(session.write(kPathPut, "").verdict, Verdict::unavailable);
}

TEST(Commands, APrefixEndsBehindItsLastKey) {
  EXPECT_EQ(key_range("ab", "", true, false).end, "ac");
  EXPECT_EQ(key_range("a\xff", "", true, false).end, "b");
  EXPECT_EQ(key_range("\xff", "", true, false).end, std::string(1, '\0'));
  EXPECT_EQ(key_range("", "", true, false).key, std::string(1, '\0'));
  EXPECT_EQ(key_range("k", "", false, true).end, std::string(1, '\0'));
  EXPECT_EQ(key_range("k", "z", false, false).end, "z");
}

TEST(TxnText, ReadsTheThreeBlocks) {
  std::istringstream text(
      "mod(\"key (1)\") > \"0\"\nvalue(\"k\") = \"a b\"\n\n"
      "put key1 \"over\\nwritten\"\nget k --prefix --limit=3\n\ndel \"k x\"\n");
  const auto parsed = parse_txn(text);
  ASSERT_TRUE(parsed) << parsed.error().text;
  const auto& request = parsed->request;
  ASSERT_EQ(request.compare.size(), 2u);
  EXPECT_EQ(request.compare[0].key, "key (1)");
  EXPECT_EQ(request.compare[0].target, 2);
  EXPECT_EQ(request.compare[0].result, 1);
  EXPECT_EQ(request.compare[1].value, "a b");
  ASSERT_EQ(request.success.size(), 2u);
  EXPECT_EQ(std::get<machine::etcd::PutRequest>(request.success[0].request).value, "over\nwritten");
  EXPECT_EQ(std::get<machine::etcd::RangeRequest>(request.success[1].request).limit, 3);
  ASSERT_EQ(request.failure.size(), 1u);
  EXPECT_EQ(std::get<machine::etcd::DeleteRangeRequest>(request.failure[0].request).key, "k x");
}

TEST(TxnText, NamesTheLineThatIsWrong) {
  for (const char* text : {"mud(\"k\") = \"1\"\n", "mod(\"k\") ~ \"1\"\n", "mod(\"k\") = \"x\"\n",
                           "\nput onlykey\n", "\nfetch k\n", "\nput \"k v\n", "\nget k --odd\n"}) {
    std::istringstream input(text);
    EXPECT_FALSE(parse_txn(input)) << text;
  }
}

TEST(Output, TablesAlignAndBytesStayPrintable) {
  Table table({"A", "LONGER"});
  table.add({"value", "x"});
  EXPECT_EQ(table.text(), "A      LONGER\nvalue  x\n");
  EXPECT_EQ(printable(std::string("a\0\x1b\xff", 4)), "a\\x00\\x1b\\xff");
  EXPECT_EQ(printable("é"), "é");
  EXPECT_FALSE(is_utf8("\xc0\x80"));
}

TEST(Urls, EndpointsMayBeShort) {
  EXPECT_EQ(endpoint_address("10.0.0.1:99").value(), "10.0.0.1:99");
  EXPECT_EQ(endpoint_address("http://[::1]:99/").value(), "[::1]:99");
  EXPECT_EQ(endpoint_address("host").value(), "host:2379");
  EXPECT_EQ(endpoint_address("https://host:1").value(), "https://host:1");
  EXPECT_EQ(endpoint_address("host", true).value(), "https://host:2379");
  EXPECT_EQ(endpoint_address("http://host:1", true).value(), "host:1");
  EXPECT_FALSE(endpoint_address("a:b:c"));
}

}  // namespace
}  // namespace quorate::app
