#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "raw/client.h"
#include "raw/cluster.h"
#include "raw/memory_log.h"
#include "raw/raw_consensus.h"

namespace quorate::raw {
namespace {

Options short_run(consensus::Protocol protocol = consensus::Protocol::raft) {
  Options options;
  options.protocol = protocol;
  options.outstanding = 16;
  options.warm_up = std::chrono::milliseconds(20);
  options.measured = std::chrono::milliseconds(200);
  return options;
}

class EachProtocol : public testing::TestWithParam<consensus::Protocol> {};
INSTANTIATE_TEST_SUITE_P(RawConsensus, EachProtocol, testing::ValuesIn(consensus::kProtocols));

TEST_P(EachProtocol, DecidesInMemory) {
  const auto outcome = run_raw_consensus(short_run(GetParam()), {});
  ASSERT_TRUE(outcome) << outcome.error().text;
  EXPECT_GT(outcome->entries, 100U);
  EXPECT_GE(outcome->messages, 4U);  // two appends and two answers at the least
  EXPECT_EQ(outcome->syncs, 0U);
  EXPECT_GT(outcome->processor.count(), 0);
  EXPECT_LE(outcome->median, outcome->p99);
  EXPECT_LE(outcome->p999, outcome->longest);
}

TEST_P(EachProtocol, DecidesOnADisk) {
  std::string pattern = (std::filesystem::temp_directory_path() / "raw-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  Options options = short_run(GetParam());
  options.durable = true;
  options.directory = pattern;
  const auto outcome = run_raw_consensus(options, {});
  ASSERT_TRUE(outcome) << outcome.error().text;
  EXPECT_GT(outcome->entries, 0U);
  EXPECT_GE(outcome->syncs, 2U);                              // a majority must have it
  EXPECT_GE(outcome->log_bytes, outcome->entries * 2 * 256);  // and all of it
  const auto again = run_raw_consensus(options, {});          // the logs are not empty now
  EXPECT_FALSE(again);
  std::filesystem::remove_all(pattern);
}

TEST(RawConsensus, RefusesWhatItCannotMeasure) {
  Options options = short_run();
  options.outstanding = 0;
  EXPECT_FALSE(run_raw_consensus(options, {}));
  options.outstanding = 100'000;
  EXPECT_FALSE(run_raw_consensus(options, {}));
  options = short_run();
  options.durable = true;
  EXPECT_FALSE(run_raw_consensus(options, {}));
  options = short_run();
  options.replicas = 0;
  EXPECT_FALSE(run_raw_consensus(options, {}));
}

TEST(RawConsensus, EndsWhenItIsStopped) {
  const auto outcome = run_raw_consensus(short_run(), [] { return true; });
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::unavailable);
}

TEST(RawClient, NoticesWhatIsDecidedOutOfOrderOrTwice) {
  Client client(2, 256);
  const Time now{std::chrono::seconds(1)};
  EXPECT_EQ(client.begin(now), 1U);
  EXPECT_EQ(client.begin(now), 2U);
  EXPECT_FALSE(client.may_begin());
  EXPECT_FALSE(client.decide(2, now));
  EXPECT_TRUE(client.decide(1, now + std::chrono::milliseconds(3)));
  EXPECT_FALSE(client.decide(1, now));
  EXPECT_TRUE(client.may_begin());
  EXPECT_FALSE(client.decide(3, now));  // nobody asked for it
  EXPECT_EQ(client.take_samples(), std::vector<Duration>{std::chrono::milliseconds(3)});
}

consensus::Write write_of(uint64_t id, uint64_t first, uint64_t last) {
  consensus::Write write;
  write.id = WriteId{id};
  for (uint64_t index = first; index <= last; ++index) {
    write.entries.push_back({Index{index}, {1, {}}, consensus::EntryKind::command, {}, {}});
  }
  return write;
}

TEST(MemoryLog, KeepsWhatIsNeitherReplacedNorGivenBack) {
  MemoryLog log;
  log.append(write_of(1, 1, 10));
  EXPECT_EQ(log.durable(), WriteId{0});
  log.flush();
  EXPECT_EQ(log.durable(), WriteId{1});
  consensus::Write replaced = write_of(2, 8, 8);
  replaced.truncate_from = Index{8};
  log.append(replaced);
  EXPECT_EQ(log.size(), 8U);
  consensus::Write shorter = write_of(3, 9, 9);
  shorter.snapshot = consensus::SnapshotMeta{Index{5}, {}, {}};
  log.append(shorter);
  EXPECT_EQ(log.size(), 4U);  // 6 to 9
  size_t found = 0;
  log.read({Index{6}, Index{20}}, [&found](auto entries) { found = entries->size(); });
  EXPECT_EQ(found, 4U);
  log.read({Index{5}, Index{7}}, [&found](auto entries) { found = entries->size(); });
  EXPECT_EQ(found, 0U);
}

}  // namespace
}  // namespace quorate::raw
