// Tests of scenarios: what they may say, that a run written down is the same run, and that a
// failing one is shortened without changing why it fails.
#include "sim/script.h"

#include <gtest/gtest.h>

#include "sim/diagram.h"
#include "sim/recording.h"
#include "sim/run.h"
#include "sim/shrink.h"
#include "sim/text.h"
#include "sim/world_settings.h"

namespace quorate::sim {
namespace {

Script parsed(std::string_view text) {
  auto script = parse_script("test", text);
  EXPECT_TRUE(script.has_value()) << (script ? "" : script.error().text);
  return script ? *script : Script{};
}

std::string problem_of(std::string_view text) {
  const auto script = parse_script("bad", text);
  return script ? "" : script.error().text;
}

TEST(Text, DecimalsLoseNothing) {
  for (const int64_t value : {0L, 1L, 10L, 999'999L, 1'000'000L, 1'000'001L, 12'500'000L}) {
    int64_t again = -1;
    EXPECT_TRUE(read_decimal(decimal_of(value, 1'000'000), 1'000'000, again));
    EXPECT_EQ(again, value) << decimal_of(value, 1'000'000);
  }
  EXPECT_EQ(decimal_of(12'500'000, 1'000'000), "12.5");
  EXPECT_EQ(decimal_of(7, 1'000'000), "0.000007");
}

TEST(Text, RefusesWhatIsNoNumber) {
  int64_t value = 0;
  for (const char* word :
       {"", ".", "1.", ".5", "-1", "1e3", "0x1", "99999999999999999999", "1.1"}) {
    EXPECT_FALSE(read_decimal(word, 1, value)) << word;
  }
  EXPECT_FALSE(read_decimal("1.0000001", 1'000'000, value)) << "finer than a nanosecond";
  EXPECT_TRUE(read_number("-12", value));
  EXPECT_EQ(value, -12);
}

TEST(Script, NamesTheLineItDoesNotUnderstand) {
  EXPECT_NE(problem_of("nodes 3\nat 100 crash n1\nfrobnicate\n").find("bad:3"), std::string::npos);
  EXPECT_NE(problem_of("at 100 frobnicate n1\n").find("bad:1"), std::string::npos);
  EXPECT_NE(problem_of("at 100 crash\n").find("bad:1"), std::string::npos) << "too few words";
  EXPECT_NE(problem_of("at 100 crash n1 n2\n").find("bad:1"), std::string::npos) << "too many";
}

TEST(Script, RefusesWorldsThatCannotBe) {
  for (const char* text :
       {"nodes 0", "nodes 8", "nodes", "nodes 3 3", "loss_ppm 1000001", "heartbeat_ms 300",
        "latency_min_us 5000", "seeds 0", "election_timeout_ms 99999999999", "copies_max 0",
        "every 1 from 0 to 999999999 heal", "every 0 from 0 to 9 heal", "at x heal", "at 1",
        "at"}) {
    EXPECT_NE(problem_of(text), "") << text;
  }
  EXPECT_NE(problem_of(std::string(kScriptBytesMax + 1, '\n')), "");
  std::string many;
  for (int word = 0; word < 100; ++word) many += "cut ";
  EXPECT_NE(problem_of(many), "");
}

TEST(Script, ReadsWhatItWrites) {
  const Script script = parsed(
      "nodes 5\nelection_timeout_ms 250.25\nloss_ppm 7\nseeds 3\nfirst_seed 12\nuntil_ms 900.5\n"
      "story logs\nat 1.000001 cut n1>n2 n3-*\nevery 2.5 from 10 to 20 propose n1 2 3\n");
  const std::string text = text_of(script);
  EXPECT_EQ(text_of(parsed(text)), text);
  EXPECT_EQ(script.world.election_timeout, 250'250'000);
  EXPECT_EQ(script.lines[0].from, 1'000'001);
}

// Exact: every count of the run, up to the last step after the healing.
TEST(Recording, PlaysTheSameRunAgain) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Recording recording;
    SimOptions options;
    options.recorder = &recording;
    options.duration_ms = 6'000;
    const RunResult first = run_seed(options, seed);
    ASSERT_EQ(first.violation, "") << first.replay;
    const Script script = script_of(recording, world_of(options, seed), seed, first.until);
    const RunResult again = run_script({}, parsed(text_of(script)), seed);
    EXPECT_EQ(again.violation, "");
    EXPECT_EQ(again.steps, first.steps) << "seed " << seed << ": " << first.world;
    EXPECT_EQ(again.commits, first.commits);
    EXPECT_EQ(again.elections, first.elections);
    EXPECT_EQ(again.crashes, first.crashes);
    EXPECT_EQ(again.simulated_nanoseconds, first.simulated_nanoseconds);
  }
}

TEST(Shrinking, KindsOfRulesDoNotHangOnNumbers) {
  EXPECT_EQ(kind_of_rule("node 3: second leader in round 12, after node 1; at step 5, 7 us"),
            kind_of_rule("node 2: second leader in round 7, after node 3; at step 50, 70 us"));
  EXPECT_NE(kind_of_rule("node 3: two votes in term 4"), kind_of_rule("node 3: stale read"));
  EXPECT_EQ(kind_of_rule("node 0: healed for 60 election timeouts, but node 2 is down"),
            kind_of_rule("node 0: healed for 60 election timeouts, but reads are not answered"));
}

TEST(Shrinking, TakesANodeOut) {
  const Script script = parsed(
      "nodes 4\nat 1 cut n1-n2 n2>n3\nat 2 crash n2\nat 3 cut n2-n4\nat 4 transfer n3 n4\n"
      "at 5 propose n4 1 0\n");
  const Script smaller = without_node(script, 1);
  EXPECT_EQ(smaller.world.nodes, 3U);
  ASSERT_EQ(smaller.lines.size(), 2U);
  EXPECT_EQ(joined(smaller.lines[0].words), "transfer n2 n3");
  EXPECT_EQ(joined(smaller.lines[1].words), "propose n3 1 0");
}

// A judge that needs three of many lines: exactly those stay.
TEST(Shrinking, KeepsWhatIsNeeded) {
  std::string text = "nodes 5\nloss_ppm 1000\n";
  for (int line = 0; line < 300; ++line) {
    text += "at " + std::to_string(line * 100) + ".25 propose n" + std::to_string(1 + line % 5) +
            " 1 " + std::to_string(line) + "\n";
  }
  const auto judge = [](const Script& script) -> Verdict {
    int found = 0;
    for (const ScriptLine& line : script.lines) {
      const std::string& size = line.words[3];
      if (size == "17" || size == "111" || size == "256") ++found;
    }
    return found == 3 ? Verdict{"node 1: rule 7 is broken", 0} : Verdict{};
  };
  const Shrunk shrunk = shrink(parsed(text), "node 1: rule 1 is broken", judge, {});
  EXPECT_TRUE(shrunk.reproduced);
  EXPECT_EQ(shrunk.actions_before, 300U);
  EXPECT_EQ(shrunk.actions_after, 3U);
  EXPECT_EQ(shrunk.script.world.network.loss, 0U);
  EXPECT_EQ(shrunk.script.lines[0].from % kMillisecond, 0);
  EXPECT_LT(shrunk.runs, 300U);
}

TEST(Shrinking, OfAnotherRuleIsNoShrinking) {
  const auto judge = [](const Script&) -> Verdict { return {"node 1: something else", 0}; };
  EXPECT_FALSE(shrink(parsed("at 1 crash n1\n"), "node 1: this", judge, {}).reproduced);
}

TEST(Diagram, ShowsMessagesRolesAndDeaths) {
  Diagram diagram;
  SimOptions options;
  options.observer = &diagram;
  const Script script = parsed("at 1000 let L be leader\nat 1001 propose L\nat 1100 crash L\n");
  EXPECT_EQ(run_script(options, script, 1).violation, "");
  const std::string page = diagram.html("a <test>", "why & how", 3);
  for (const char* part : {"a &lt;test&gt;", "why &amp; how", "leader term 2", "crash",
                           "class=\"m append\"", "commits", "propose n"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

constexpr const char* kFigure = R"(nodes 3
seeds 1
story logs
election_timeout_ms 100000
heartbeat_ms 50000
pre_vote 0
check_quorum 0
latency_min_us 1000
latency_max_us 1000
disk_min_us 100
disk_max_us 100
at 100 timeout n1
at 120 expect n1 leads
at 120 hold n1>n3 append
at 121 propose n1 as x
at 140 expect x acknowledged
at 141 expect n3 log 1 2
at 141 expect n2 log 1 2 2
at 142 read n1 as r
at 150 expect r ready at 3
at 151 read n2 as s
at 152 expect s refused
at 153 deliver n1>n3 append
at 160 expect n3 last 3
at 161 await 100 n3 term >= 2
)";

TEST(Script, SpeaksOfLogsReadsAndMessagesKeptBack) {
  const RunResult result = run_script({}, parsed(kFigure), 1);
  EXPECT_EQ(result.violation, "") << result.story;
  EXPECT_NE(result.story.find("n1 leader term 2, committed 3, log 1 2 2"), std::string::npos)
      << result.story;
}

TEST(Script, ASuccessfulExpectationCanFail) {
  for (const char* line :
       {"at 200 expect n1 follows", "at 200 expect n1 log 1 2", "at 200 expect x refused",
        "at 200 expect r waits", "at 200 await 50 n2 leads", "at 200 expect n1 term <= 1",
        "at 200 deliver n1>n2 vote", "at 200 expect nobody leads", "at 200 expect n1 sings"}) {
    EXPECT_NE(run_script({}, parsed(std::string(kFigure) + line), 1).violation, "") << line;
  }
}

}  // namespace
}  // namespace quorate::sim
