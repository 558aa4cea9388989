#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "app/top/view.h"

namespace quorate::app::top {
namespace {

using doctor::MemberFacts;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kStale = seconds(4);

std::string endpoint_of(uint64_t id) { return "host" + std::to_string(id) + ":2379"; }

std::vector<MemberFacts> members_of_three() {
  std::vector<MemberFacts> members;
  for (uint64_t id = 1; id <= 3; ++id) {
    MemberFacts member;
    member.id = id;
    member.name = "n" + std::to_string(id);
    member.listed = true;
    member.client_urls = {"http://" + endpoint_of(id)};
    members.push_back(member);
  }
  return members;
}

Sample sample(uint64_t id, Duration at, int64_t revision) {
  Sample made;
  made.at = made.counted_at = at;
  made.facts.answered = true;
  made.facts.id = id;
  made.facts.cluster = 7;
  made.facts.leader = 1;
  made.facts.term = 2;
  made.facts.index = made.facts.applied = static_cast<uint64_t>(revision) + 10;
  made.facts.revision = revision;
  made.facts.version = "3.7.1";
  made.facts.store_bytes = 2'000'000;
  made.facts.quota_bytes = 8'000'000;
  made.facts.latency = milliseconds(2);
  made.counters = Counters{static_cast<double>(revision) * 2, static_cast<double>(revision)};
  return made;
}

// Three voters of which n1 leads, seen twice in two seconds, with 100 changes between.
std::vector<Watched> three() {
  std::vector<Watched> watched;
  for (uint64_t id = 1; id <= 3; ++id) {
    Watched each{
        endpoint_of(id),   true, 2, sample(id, seconds(0), 1000), sample(id, seconds(2), 1100),
        members_of_three()};
    watched.push_back(each);
  }
  return watched;
}

void fall_silent(Watched& watched) {
  watched.now = {};
  watched.now.at = seconds(2);
  watched.now.facts.problem = "Connection refused";
}

bool shows(const std::vector<Line>& lines, const std::string& part) {
  return std::ranges::any_of(
      lines, [&](const Line& line) { return line.text.find(part) != std::string::npos; });
}

// What stands in the row that begins with `name`, blanks drawn together.
std::string row_of(const std::vector<Line>& lines, const std::string& name) {
  for (const Line& line : lines) {
    if (!line.text.starts_with(name + " ")) continue;
    std::string text;
    for (const char letter : line.text) {
      if (letter != ' ' || !text.ends_with(' ')) text += letter;
    }
    return text;
  }
  return {};
}

TEST(Top, ShowsRolesAndRates) {
  const View view = view_of(three(), seconds(2), kStale);
  const auto lines = lines_of(view, "heading", {});
  EXPECT_EQ(lines[0].text, "heading");
  EXPECT_EQ(lines[1].text, "3 members, 3 answer, n1 leads in term 2");
  EXPECT_EQ(lines[2].text, "revision 1100, 50.0 changes/s, 50.0 puts/s");
  EXPECT_EQ(row_of(lines, "n1"),
            "n1 leader 2.0 ms 2 1110 1110 0 1100 100 2.0 MB 25% 3.7.1 host1:2379");
  EXPECT_EQ(row_of(lines, "n2").substr(0, 12), "n2 follower ");
  EXPECT_TRUE(view.problems.empty());
}

TEST(Top, ASilentMemberIsShownAndTheOthersToo) {
  auto watched = three();
  fall_silent(watched[0]);
  const View view = view_of(watched, seconds(2), kStale);
  const auto lines = lines_of(view, {}, {});
  EXPECT_EQ(view.answering, 2U);
  EXPECT_EQ(row_of(lines, "n1"), "n1 NO ANSWER - - - - - - - - - - host1:2379");
  EXPECT_TRUE(shows(lines, "n1: Connection refused"));
  EXPECT_TRUE(shows(lines, "50.0 changes/s")) << "by one that follows";
  EXPECT_EQ(row_of(lines, "n2").substr(0, 12), "n2 follower ");
}

TEST(Top, OldSamplesTellNothing) {
  auto watched = three();
  watched[1].now.at = watched[2].now.at = seconds(10);
  const View view = view_of(watched, seconds(10), kStale);
  EXPECT_FALSE(view.rows[0].facts.answered);
  EXPECT_EQ(view.problems, std::vector<std::string>{"n1: has not answered for 8.0 s"});
  EXPECT_EQ(view.answering, 2U);
}

TEST(Top, NobodyHasAnsweredYet) {
  std::vector<Watched> watched(1);
  watched[0].endpoint = "host1:2379";
  watched[0].given = true;
  const View view = view_of(watched, seconds(1), kStale);
  EXPECT_FALSE(view.listed);
  EXPECT_EQ(view.answering, 0U);
  EXPECT_EQ(view.problems, std::vector<std::string>{"host1:2379: has not answered yet"});
}

TEST(Top, RatesNeedTwoSamplesOfOneLife) {
  auto watched = three();
  for (Watched& each : watched) each.before = {};  // the first round
  View view = view_of(watched, seconds(2), kStale);
  EXPECT_FALSE(view.changes || view.puts || view.rows[0].calls);
  EXPECT_TRUE(shows(lines_of(view, {}, {}), "revision 1100, - changes/s, - puts/s"));

  watched = three();
  watched[0].now.counters = Counters{3, 1};  // started anew: it counts from zero
  view = view_of(watched, seconds(2), kStale);
  EXPECT_FALSE(view.rows[0].calls);
  EXPECT_EQ(view.rows[0].changes, 50.0);
}

TEST(Top, TheClusterIsNotAsFastAsOneThatCatchesUp) {
  auto watched = three();
  fall_silent(watched[0]);  // so that nobody who leads is seen
  watched[1].before.facts.revision = 0;
  watched[1].now.facts.revision = 900;
  watched[1].now.facts.applied = 910;
  const View view = view_of(watched, seconds(2), kStale);
  EXPECT_EQ(view.rows[1].changes, 450.0);
  EXPECT_EQ(view.rows[1].behind, 200U);
  EXPECT_EQ(view.changes, 50.0);
}

TEST(Top, AnAlarmIsSaidOnce) {
  auto watched = three();
  for (Watched& each : watched) each.now.facts.errors = {"memberID:1 alarm:NOSPACE "};
  const View view = view_of(watched, seconds(2), kStale);
  EXPECT_EQ(view.problems, std::vector<std::string>{"n1, n2, n3: memberID:1 alarm:NOSPACE "});
}

TEST(Top, AMemberIsOneRowWhateverItIsCalled) {
  auto watched = three();
  Watched again = watched[0];
  again.endpoint = "127.0.0.1:2379";
  watched.push_back(again);
  Watched stranger = watched[0];
  stranger.endpoint = "elsewhere:2379";
  stranger.now.facts.id = 99;
  stranger.members.clear();
  watched.push_back(stranger);
  const View view = view_of(watched, seconds(2), kStale);
  ASSERT_EQ(view.rows.size(), 4U);
  EXPECT_EQ(view.answering, 3U) << "the stranger does not count";
  EXPECT_EQ(row_of(lines_of(view, {}, {}), "elsewhere:2379").substr(0, 24),
            "elsewhere:2379 no member");
}

TEST(Top, ASmallTerminalCutsLines) {
  const auto lines = lines_of(view_of(three(), seconds(2), kStale), "h\xc3\xa4lt", {3, 4});
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].text, "h\xc3\xa4l") << "letters, not bytes";
  EXPECT_EQ(lines[3].text, "5 l") << "of eight";
}

TEST(Top, WhatMembersSayIsHarmless) {
  auto watched = three();
  watched[0].now.facts.version = std::string("\x1b[2J") + std::string(5000, 'x');
  watched[0].now.facts.errors = {"a\nb"};
  for (const Line& line : lines_of(view_of(watched, seconds(2), kStale), {}, {})) {
    EXPECT_EQ(line.text.find_first_of("\x1b\n"), std::string::npos);
    EXPECT_LT(line.text.size(), 300U);
  }
}

TEST(Top, CountersOfAPage) {
  const auto counters = counters_in(
      "# TYPE grpc_server_started_total counter\n"
      "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\"} 5\n"
      "grpc_server_started_total{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\"} 1e+03\n"
      "grpc_server_started_total{grpc_method=\"Status\",grpc_service=\"x\"} 70\n"
      "etcd_mvcc_put_total 4\n");
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->calls, 1005) << "without those of the view itself";
  EXPECT_EQ(counters->puts, 4);
  EXPECT_FALSE(counters_in("etcd_mvcc_put_total 4\n"));
}

TEST(Top, JsonHasNullForWhatIsNotKnown) {
  auto watched = three();
  watched[2].before = {};
  fall_silent(watched[1]);
  const std::string text = json_of(view_of(watched, seconds(2), kStale));
  EXPECT_NE(text.find("\"changes_per_second\":50.000,\"puts_per_second\":50.000,\"members\":["),
            std::string::npos);
  EXPECT_NE(text.find("\"answers\":false,\"problem\":\"Connection refused\"}"), std::string::npos);
  EXPECT_NE(text.find("\"requests_per_second\":null"), std::string::npos);
}

}  // namespace
}  // namespace quorate::app::top
