#include "check/history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "check/history_text.h"

namespace quorate::check {
namespace {

Time at(int64_t nanoseconds) { return Time{Duration(nanoseconds)}; }

Request put(std::string key, std::string value) {
  Request request;
  request.verb = Verb::put;
  request.key = std::move(key);
  request.value = std::move(value);
  return request;
}

Request get(std::string key) {
  Request request;
  request.key = std::move(key);
  return request;
}

Row row(std::string key, std::string value, int64_t create, int64_t mod, int64_t version) {
  return {std::move(key), std::move(value), create, mod, version, 0};
}

Invoked plain(uint64_t call, uint32_t process, Request request) {
  Invoked record{.call = call, .process = process, .what = {}};
  record.what.then.push_back(std::move(request));
  return record;
}

Invoked transaction(uint64_t call) {
  Invoked record{.call = call, .process = 3, .what = {}};
  record.what.transaction = true;
  record.what.conditions = {{Target::mod, Relation::equal, "a", "", 2},
                            {Target::value, Relation::not_equal, "b\"\n", "\\x", 0},
                            {Target::version, Relation::less, "c", "", -7},
                            {Target::lease, Relation::greater, "", "", 1}};
  record.what.then = {put("a", "2"), get("b")};
  record.what.otherwise = {get("a")};
  return record;
}

// One of each kind, with every field used at least once.
std::vector<Record> all_kinds() {
  Request read;
  read.key = "a";
  read.end = std::string(1, '\0');
  read.revision = 3;
  read.limit = 10;
  read.serializable = read.keys_only = read.count_only = true;
  Request write = put("\xff\x01 \xc3\xa9\x7f", "");
  write.lease = -5;
  write.previous = write.ignore_value = write.ignore_lease = true;
  Request grant;
  grant.verb = Verb::grant;
  grant.lease = 9;
  grant.ttl = 30;
  Reply reply{.revision = 7, .succeeded = false, .answers = {}};
  Answer found{.rows = {row("a", "1", 2, 5, 3), Row{}}, .count = 9, .ttl = -1, .more = true};
  reply.answers = {found};
  return {
      Start{.revision = 4, .compacted = 2, .rows = {row("k", "v", 2, 3, 2)}},
      plain(1, 0, read),
      plain(2, 1, write),
      plain(3, 2, grant),
      transaction(4),
      Answered{.call = 4, .reply = reply},
      Failed{.call = 1, .why = "no leader"},
      Unknown{.call = 2, .why = {}},
      WatchOpened{1, 5, "a", "b", 3, true, true, true, true, true},
      WatchCreated{.watch = 1, .revision = 4},
      WatchDelivered{.watch = 1,
                     .revision = 6,
                     .fragment = true,
                     .events = {{false, row("a", "1", 2, 5, 3), row("a", "0", 2, 4, 2)},
                                {true, Row{.key = "aa", .value = {}, .mod = 6}, {}}}},
      WatchProgress{.watch = 1, .revision = 9},
      WatchEnded{.watch = 1, .compacted = 5, .why = "compacted"},
      Committed{.revision = 5, .call = 2},
      Expired{.lease = 9, .revision = 6},
      Settled{},
      StateHash{.member = 1, .revision = 6, .hash = ~uint64_t{0}},
      QueueSample{.member = 2, .name = "proposals", .size = 3, .limit = 10},
  };
}

std::string written(const std::vector<Record>& records) {
  std::string text;
  HistoryWriter writer(text);
  int64_t now = -5;
  for (const Record& each : records) writer.record(at(now++), each);
  return text;
}

TEST(HistoryText, EveryRecordIsReadAsItWasWritten) {
  for (const Record& record : all_kinds()) {
    std::string text;
    HistoryWriter writer(text);
    const size_t first = text.size();
    writer.record(at(-17), record);
    const std::string line = text.substr(first, text.size() - first - 1);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const Result<TimedRecord> read = read_record(line);
    ASSERT_TRUE(read) << line << "\n" << read.error().text;
    EXPECT_EQ(*read, (TimedRecord{at(-17), record})) << line;
  }
}

TEST(HistoryText, LooksAsDocumented) {
  std::string text;
  HistoryWriter writer(text);
  writer.record(at(1000), transaction(4));
  Reply reply{.revision = 3, .succeeded = true, .answers = {Answer{}, Answer{}}};
  reply.answers[1].count = 1;
  reply.answers[1].rows = {row("b", "x", 2, 2, 1)};
  writer.record(at(2000), Answered{.call = 4, .reply = reply});
  EXPECT_EQ(text,
            "quorate-history 1\n"
            "1000 call 4 process=3 txn if mod \"a\" = 2 if value \"b\\\"\\n\" != \"\\\\x\""
            " if version \"c\" < -7 if lease \"\" > 1 then put key=\"a\" value=\"2\""
            " then get key=\"b\" else get key=\"a\"\n"
            "2000 ok 4 revision=3 answer answer count=1"
            " [key=\"b\" value=\"x\" create=2 mod=2 version=1 lease=0]\n");
}

TEST(HistoryText, WholeFileBecomesAHistory) {
  const Result<History> history = read_history(written(all_kinds()));
  ASSERT_TRUE(history) << history.error().text;
  ASSERT_EQ(history->operations().size(), 4U);
  const Operation& last = history->operations()[3];
  EXPECT_EQ(last.outcome, Outcome::ok);
  EXPECT_FALSE(last.succeeded);
  EXPECT_EQ(last.revision, 7);
  ASSERT_EQ(history->taken(last).size(), 1U);
  const Step& step = history->taken(last)[0];
  EXPECT_EQ(step.count, 9);
  ASSERT_EQ(history->items(step).size(), 2U);
  EXPECT_EQ(history->text(history->items(step)[1].key), "a");  // not recorded: as asked for
  EXPECT_EQ(history->items(step)[1].value, kNoText);
  EXPECT_EQ(history->operations()[0].outcome, Outcome::failed);
  EXPECT_EQ(history->operations()[1].outcome, Outcome::unknown);
  EXPECT_EQ(history->operations()[1].returned, kOpen);
  EXPECT_EQ(history->operations()[2].returned, kOpen);  // never heard of again
  EXPECT_EQ(history->start_revision(), 4);
  EXPECT_EQ(history->start_items().size(), 1U);
  ASSERT_EQ(history->watches().size(), 1U);
  EXPECT_EQ(history->watches()[0].replies.size(), 4U);
  EXPECT_EQ(history->changes(history->watch_replies()[1]).size(), 2U);
  EXPECT_NE(history->settled(), kOpen);
}

TEST(HistoryText, LinesAreSortedByTime) {
  const Result<History> history = read_history(
      "quorate-history 1\n"
      "# merged from two recorders\n"
      "\n"
      "30 ok 1 answer count=0\n"
      "10 call 1 process=0 get key=\"a\"\n"
      "20\tcall 2  process=1 put key=\"a\" value=\"\\u00e9\\ud83d\\ude00\"\r\n"
      "25 ok 2");  // cut: the recorder died
  ASSERT_TRUE(history) << history.error().text;
  ASSERT_EQ(history->operations().size(), 2U);
  const Operation& first = history->operations()[0];
  const Operation& second = history->operations()[1];
  EXPECT_FALSE(first.precedes(second));
  EXPECT_EQ(first.returned, 2U);
  EXPECT_EQ(second.outcome, Outcome::unknown);
  EXPECT_EQ(history->text(history->taken(second)[0].value), "\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(HistoryText, MistakesAreNamedWithTheirLine) {
  const auto problem = [](std::string_view lines) {
    const Result<History> history = read_history("quorate-history 1\n" + std::string(lines));
    return history ? std::string("none") : history.error().text;
  };
  EXPECT_EQ(problem("1 call 1 process=0 get key=\"a\n"),
            "line 2: a text in double quotes does not end");
  EXPECT_EQ(problem("1 call 1 process=0 fetch\n"), "line 2: unknown verb \"fetch\"");
  EXPECT_EQ(problem("1 hello\n"), "line 2: unknown record \"hello\"");
  EXPECT_EQ(problem("\nx\n"), "line 3: a line starts with its time in nanoseconds");
  EXPECT_EQ(problem("1 ok 5\n"), "line 2: call 5 is not under way");
  EXPECT_EQ(problem("1 call 1 get\n1 call 1 get\n"), "line 3: call 1 is still under way");
  EXPECT_EQ(problem("1 call 1 get colour=3\n"),
            "line 2: expected the end of the line at \"colour=3\"");
  EXPECT_EQ(problem("1 call 1 get\n2 ok 1 refused\n"),
            "line 3: only a transaction can take its else branch");
  EXPECT_EQ(problem("1 call 1 get\n2 ok 1 answer answer\n"),
            "line 3: call 1 asked for 1 things and got 2 answers");
  EXPECT_EQ(problem("1 progress 1 revision=3\n"), "line 2: watch 1 is not open");
  EXPECT_EQ(problem("1 settled\n2 start revision=1\n"), "line 3: start must be the first record");
  EXPECT_FALSE(read_history("").has_value());
  EXPECT_FALSE(read_history("quorate-history 2\n").has_value());
}

// Any bytes give a history or an error. Damaged files reach deeper than random bytes do.
TEST(HistoryText, DamagedFilesAreSurvived) {
  const std::string good = written(all_kinds());
  Rng rng(7);
  uint64_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = good;
    const uint64_t changes = rng.between(1, 4);
    for (uint64_t i = 0; i < changes; ++i) {
      const uint64_t place = rng.below(text.size());
      const uint64_t kind = rng.below(3);
      if (kind == 0) text[place] = static_cast<char>(rng.below(256));
      if (kind == 1) text.erase(place, rng.below(8));
      if (kind == 2) text.insert(place, text.substr(rng.below(text.size()), rng.below(20)));
    }
    const Result<History> history = read_history(text);
    if (history) {
      ++accepted;
    } else {
      EXPECT_TRUE(history.error().text.starts_with("line ")) << history.error().text;
    }
  }
  EXPECT_GT(accepted, 0U);
}

TEST(Texts, EachTextHasOneNumber) {
  Texts texts;
  EXPECT_EQ(texts.add(""), 0U);
  std::vector<TextId> ids;
  for (size_t i = 0; i < 5000; ++i)
    ids.push_back(texts.add(std::string(i % 40, 'x') + std::to_string(i)));
  for (size_t i = 0; i < 5000; ++i) {
    const std::string text = std::string(i % 40, 'x') + std::to_string(i);
    EXPECT_EQ(texts.find(text), ids[i]);
    EXPECT_EQ(texts.add(text), ids[i]);
    EXPECT_EQ(texts.view(ids[i]), text);
  }
  EXPECT_EQ(texts.find("absent"), kNoText);
  const std::string large(1 << 20, 'y');
  EXPECT_EQ(texts.view(texts.add(large)), large);
}

}  // namespace
}  // namespace quorate::check
