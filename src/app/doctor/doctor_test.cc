#include <gtest/gtest.h>

#include <algorithm>

#include "app/doctor/facts.h"
#include "app/doctor/page.h"

namespace quorate::app::doctor {
namespace {

// Three voters in the best of health, n1 leading.
Facts healthy() {
  Facts facts;
  for (uint64_t id = 1; id <= 3; ++id) {
    MemberFacts member;
    member.id = id;
    member.name = "n" + std::to_string(id);
    member.listed = true;
    member.client_urls = {"http://host" + std::to_string(id) + ":2379"};
    member.endpoint = "host" + std::to_string(id) + ":2379";
    member.answered = true;
    member.cluster = 7;
    member.version = "3.7.1";
    member.leader = 1;
    member.term = 2;
    member.index = 100;
    member.applied = 100;
    member.store_bytes = 1 << 20;
    member.reads = true;
    member.clock_offset = 0.001 * static_cast<double>(id);
    facts.members.push_back(member);
  }
  return facts;
}

size_t problems(const std::vector<Finding>& findings) {
  return static_cast<size_t>(std::ranges::count(findings, Level::problem, &Finding::level));
}

// Whether some finding of this level about this says so, and advises something unless all is well.
bool says(const std::vector<Finding>& findings, Level level, const std::string& about,
          const std::string& part) {
  return std::ranges::any_of(findings, [&](const Finding& each) {
    return each.level == level && each.about == about &&
           each.what.find(part) != std::string::npos &&
           each.advice.empty() == (level == Level::well);
  });
}

void fall_silent(MemberFacts& member) {
  member.answered = false;
  member.reads = false;
  member.problem = "cannot connect: Connection refused";
  member.clock_offset.reset();
}

TEST(Doctor, NothingIsWrongWithAHealthyCluster) {
  const auto findings = findings_of(healthy());
  EXPECT_TRUE(
      std::ranges::all_of(findings, [](const Finding& each) { return each.level == Level::well; }));
  EXPECT_TRUE(says(findings, Level::well, "quorum", "3 of 3 voters answer"));
  EXPECT_TRUE(says(findings, Level::well, "leader", "n1 (1) leads in term 2"));
}

TEST(Doctor, OneMemberDown) {
  Facts facts = healthy();
  fall_silent(facts.members[2]);
  const auto findings = findings_of(facts);
  EXPECT_TRUE(says(findings, Level::problem, "members", "n3 (3) does not answer"));
  EXPECT_TRUE(says(findings, Level::problem, "quorum", "stops if one more"));
  EXPECT_EQ(findings.front().level, Level::problem) << "what is wrong comes first";
}

TEST(Doctor, NoMajority) {
  Facts facts = healthy();
  fall_silent(facts.members[1]);
  fall_silent(facts.members[2]);
  facts.members[0].reads = false;
  facts.members[0].leader = 0;
  const auto findings = findings_of(facts);
  EXPECT_TRUE(says(findings, Level::problem, "quorum", "1 of 3 voters answer"));
  EXPECT_TRUE(says(findings, Level::problem, "leader", "knows no leader"));
}

TEST(Doctor, OneAnswersButIsCutOff) {
  Facts facts = healthy();
  facts.members[1].reads = false;
  facts.members[1].read_problem = "etcdserver: request timed out";
  EXPECT_TRUE(says(findings_of(facts), Level::problem, "quorum", "not linearizably"));
}

TEST(Doctor, Alarms) {
  Facts facts = healthy();
  facts.alarms = {{2, "NOSPACE"}, {3, "CORRUPT"}};
  const auto findings = findings_of(facts);
  EXPECT_TRUE(says(findings, Level::problem, "alarms", "NOSPACE of n2"));
  EXPECT_TRUE(says(findings, Level::problem, "alarms", "CORRUPT of n3"));
  EXPECT_EQ(problems(findings), 2U);
}

TEST(Doctor, LearnersAndMembersNeverStarted) {
  Facts facts = healthy();
  facts.members[2].learner = true;
  MemberFacts added;
  added.id = 4;
  added.listed = true;
  facts.members.push_back(added);
  const auto findings = findings_of(facts);
  EXPECT_TRUE(says(findings, Level::note, "members", "n3 (3) is a learner"));
  EXPECT_TRUE(says(findings, Level::problem, "members", "has never been started"));
}

TEST(Doctor, NumbersBeyondTheirBounds) {
  struct Case {
    void (*harm)(Facts&);
    Level level;
    const char* about;
    const char* part;
  };
  const Case cases[] = {
      {[](Facts& facts) { facts.members[1].clock_offset = -5.0; }, Level::problem, "clocks",
       "ahead of that of n2"},
      {[](Facts& facts) { facts.members[0].store_bytes = int64_t{1900} << 20U; }, Level::problem,
       "space", "of its quota"},
      {[](Facts& facts) {
         facts.members[1].index = 10;
         facts.members[0].index = 9000;
       },
       Level::problem, "progress", "log entries behind"},
      {[](Facts& facts) { facts.members[1].version = "3.6.0"; }, Level::note, "versions",
       "different versions"},
      {[](Facts& facts) { facts.members[1].latency = std::chrono::seconds(1); }, Level::note,
       "latency", "1s to say how it is"},
      {[](Facts& facts) { facts.members[1].leader = 2; }, Level::problem, "leader",
       "different leaders"},
      {[](Facts& facts) { facts.members[1].cluster = 8; }, Level::problem, "members",
       "different clusters"},
      {[](Facts& facts) { facts.members.pop_back(); }, Level::note, "quorum", "2 voters bear no"},
  };
  for (const Case& each : cases) {
    Facts facts = healthy();
    each.harm(facts);
    EXPECT_TRUE(says(findings_of(facts), each.level, each.about, each.part)) << each.part;
  }
}

TEST(Doctor, ClocksAreJudgedByWhatIsSure) {
  Facts facts = healthy();
  facts.members[1].clock_offset = 1.5;
  facts.members[1].clock_doubt = 1.0;  // a slow answer
  EXPECT_EQ(problems(findings_of(facts)), 0U);
}

TEST(Doctor, HashesThatDiffer) {
  Facts facts = healthy();
  facts.hash_revision = 9;
  for (MemberFacts& member : facts.members) member.hash = 1;
  EXPECT_TRUE(says(findings_of(facts), Level::well, "hashes", "the same keys"));
  facts.members[1].hash = 2;
  EXPECT_TRUE(says(findings_of(facts), Level::problem, "hashes", "different keys at revision 9"));
}

TEST(Doctor, DisksAndCertificates) {
  Facts facts = healthy();
  facts.disks = {{"/slow", "", std::chrono::milliseconds(300), std::chrono::seconds(1), 90, 100},
                 {"/full", "", std::chrono::milliseconds(1), std::chrono::milliseconds(2), 1, 100}};
  facts.certificates = {{"old.pem", "", "/CN=a", -86400 * 3, -1},
                        {"soon.pem", "", "/CN=b", 86400 * 3, -1},
                        {"new.pem", "", "/CN=c", 86400 * 300, 60},
                        {"none.pem", "cannot be read", "", 0, 0}};
  const auto findings = findings_of(facts);
  EXPECT_TRUE(says(findings, Level::problem, "disk", "/slow: a small synced write takes 300ms"));
  EXPECT_TRUE(says(findings, Level::problem, "disk", "/full: 1 B free, 1 %"));
  EXPECT_TRUE(says(findings, Level::problem, "certificates", "expired 3 days ago"));
  EXPECT_TRUE(says(findings, Level::note, "certificates", "expires in 3 days"));
  EXPECT_TRUE(says(findings, Level::problem, "certificates", "not valid yet"));
  EXPECT_TRUE(says(findings, Level::problem, "certificates", "cannot be read"));
}

TEST(Doctor, TriesADisk) {
  const DiskFacts disk = try_disk(::testing::TempDir());
  EXPECT_EQ(disk.problem, "");
  EXPECT_GT(disk.sync_typical, Duration{});
  EXPECT_GE(disk.sync_slowest, disk.sync_typical);
  EXPECT_GT(disk.total_bytes, disk.free_bytes);
  EXPECT_NE(try_disk("/nowhere/at/all").problem, "");
}

TEST(Page, FindsANumberByItsWholeName) {
  const std::string page = "# HELP a_b x\na_bc 7\na_b{l=\"1\"} 8\na_b 1795000000.250\n";
  EXPECT_EQ(metric_value(page, "a_b"), 1795000000.25);
  EXPECT_EQ(metric_value(page, "a"), std::nullopt);
  EXPECT_EQ(get_page("127.0.0.1:1", "/metrics", std::chrono::milliseconds(200)), std::nullopt);
}

}  // namespace
}  // namespace quorate::app::doctor
