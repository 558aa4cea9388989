#include "storage/wal/group_state.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "storage/wal/entry_positions.h"

namespace quorate::storage::wal {
namespace {

using consensus::Ballot;
using consensus::Write;

Write entries(uint64_t id, uint64_t first, uint64_t last, uint64_t round) {
  Write write;
  write.id = WriteId{id};
  for (uint64_t index = first; index <= last; ++index) {
    consensus::Entry entry;
    entry.index = Index{index};
    entry.ballot = {round, {}};
    write.entries.push_back(entry);
  }
  return write;
}

Write snapshot(uint64_t id, uint64_t index, uint64_t round, bool install) {
  Write write;
  write.id = WriteId{id};
  write.snapshot = consensus::SnapshotMeta{Index{index}, {round, {}}, {}};
  write.install = install;
  return write;
}

TEST(BallotRuns, AgreesWithAPlainListOfBallots) {
  Rng rng(5);
  BallotRuns runs;
  std::map<uint64_t, uint64_t> plain;
  uint64_t first = 1;
  uint64_t last = 0;
  for (int step = 0; step < 3000; ++step) {
    const uint64_t choice = rng.below(12);
    if (choice == 0 && last >= first) {
      const uint64_t from = rng.between(first, last);
      runs.truncate_from(Index{from});
      plain.erase(plain.lower_bound(from), plain.end());
      last = from - 1;
    } else if (choice == 1 && last >= first) {
      const uint64_t through = rng.between(first, last);
      runs.drop_through(Index{through}, Index{last});
      plain.erase(plain.begin(), plain.upper_bound(through));
      first = through + 1;
    } else if (choice == 2 && last >= first) {  // Paxos accepts a slot again
      const uint64_t index = rng.between(first, last);
      plain[index] = rng.below(3);
      runs.put(Index{index}, {plain[index], {}}, Index{last});
    } else {
      plain[++last] = rng.below(3);
      runs.put(Index{last}, {plain[last], {}}, Index{last - 1});
    }
    for (const auto& [index, round] : plain) {
      ASSERT_EQ(runs.find(Index{index}), (Ballot{round, {}})) << "step " << step;
    }
    const auto list = runs.list();
    for (size_t run = 1; run < list.size(); ++run) {
      ASSERT_NE(list[run].ballot, list[run - 1].ballot) << "step " << step;
    }
    if (plain.empty()) {
      ASSERT_TRUE(list.empty());
    } else {
      ASSERT_EQ(list.front().first.value, first);
    }
  }
}

TEST(GroupState, AnInstallKeepsTheRestOnlyWithTheSameBallot) {
  GroupState state;
  state.apply(entries(1, 1, 9, 2), false);
  EXPECT_TRUE(state.keeps_rest(snapshot(2, 5, 2, true)));
  EXPECT_FALSE(state.keeps_rest(snapshot(2, 5, 3, true)));
  EXPECT_FALSE(state.keeps_rest(snapshot(2, 10, 2, true)));
  GroupState kept = state;
  kept.apply(snapshot(2, 5, 2, true), true);
  EXPECT_EQ(kept.last, Index{9});
  GroupState replaced = state;
  replaced.apply(snapshot(2, 5, 3, true), false);
  EXPECT_EQ(replaced.last, Index{5});
  EXPECT_TRUE(replaced.runs.list().empty());
}

TEST(GroupState, AnInstallMustNotDropWhatIsCommitted) {
  GroupState state;
  Write write = entries(1, 1, 9, 2);
  write.hard_state = consensus::HardState{{2, {}}, {}, Index{7}};
  state.apply(write, false);
  EXPECT_NE(state.broken_rule(snapshot(2, 6, 3, true), false), nullptr);
  EXPECT_EQ(state.broken_rule(snapshot(2, 6, 2, true), true), nullptr);
  EXPECT_EQ(state.broken_rule(snapshot(2, 8, 3, true), false), nullptr);
}

TEST(GroupState, NamesEachBrokenRule) {
  GroupState state;
  Write write = entries(3, 1, 9, 2);
  write.hard_state = consensus::HardState{{2, NodeId{1}}, {}, Index{7}};
  state.apply(write, false);
  EXPECT_EQ(state.broken_rule(entries(4, 10, 12, 2), false), nullptr);
  EXPECT_NE(state.broken_rule(entries(3, 10, 12, 2), false), nullptr) << "write id";
  EXPECT_NE(state.broken_rule(entries(4, 7, 7, 2), false), nullptr) << "committed";
  Write truncation;
  truncation.id = WriteId{4};
  truncation.truncate_from = Index{7};
  EXPECT_NE(state.broken_rule(truncation, false), nullptr);
  truncation.truncate_from = Index{8};
  EXPECT_EQ(state.broken_rule(truncation, false), nullptr);
  Write vote;
  vote.id = WriteId{4};
  vote.hard_state = consensus::HardState{{2, {}}, {}, Index{7}};
  EXPECT_NE(state.broken_rule(vote, false), nullptr) << "a vote is not taken back";
  EXPECT_NE(state.broken_rule(entries(4, 10 + kHoleEntriesMax, 10 + kHoleEntriesMax, 2), false),
            nullptr);
}

TEST(EntryPositions, CountsWhatIsAliveBySegment) {
  LiveEntries live;
  EntryPositions positions(live);
  const auto places = [](uint64_t generation, size_t count) {
    return std::vector<Position>(count, Position{generation, 4096, 10, 0});
  };
  positions.apply(entries(1, 1, 3, 1), false, places(1, 3));
  positions.apply(entries(2, 4, 6, 1), false, places(2, 3));
  EXPECT_EQ(live.oldest(9), 1U);
  positions.apply(snapshot(3, 3, 1, false), false, {});
  EXPECT_EQ(live.oldest(9), 2U);
  EXPECT_EQ(positions.find(Index{3}), nullptr);
  ASSERT_NE(positions.find(Index{4}), nullptr);
  Write conflict = entries(4, 4, 4, 2);
  conflict.truncate_from = Index{4};
  positions.apply(conflict, false, places(3, 1));
  EXPECT_EQ(live.oldest(9), 3U);
  EXPECT_EQ(positions.find(Index{5}), nullptr);
  positions.apply(entries(5, 8, 8, 2), false, places(4, 1));  // a hole
  EXPECT_EQ(positions.find(Index{6}), nullptr);
  EXPECT_EQ(positions.find(Index{8})->generation, 4U);
  positions.apply(snapshot(6, 20, 5, true), false, {});
  EXPECT_EQ(live.oldest(9), 9U);
}

}  // namespace
}  // namespace quorate::storage::wal
