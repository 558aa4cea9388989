// Every connected network of up to five nodes, with the old leader at every place in it: somebody
// who sees a majority leads within four election timeouts, and goes on committing. With every
// protocol.
#include "sim/topology.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "sim/observer.h"
#include "sim/run.h"
#include "sim/script.h"

namespace quorate::sim {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kCutAt = 1500;  // milliseconds; the first leader is there by then
constexpr int64_t kTimeoutsMax = 4;
constexpr int64_t kTimeoutsWatched = 8;  // long enough to see leaders chase each other
constexpr uint64_t kSeeds = 5;

// When a leader first committed behind the cut, and when one last did. What a leader that sees no
// majority commits then, it owes to answers from before.
class Commits : public Observer {
 public:
  Commits(uint64_t nodes, bool old_leader_counts)
      : old_leader_counts_(old_leader_counts), leads_(nodes) {}

  void saw(const Happening& happening) override {
    if (happening.kind == HappeningKind::state) {
      leads_[happening.node] = happening.text.starts_with("leader");
      leaders_ += leads_[happening.node] ? 1 : 0;
      if (leads_[happening.node] && happening.time < kCutAt * kMillisecond) old_ = happening.node;
    }
    if (happening.kind != HappeningKind::commits || !leads_[happening.node]) return;
    if (happening.time < kCutAt * kMillisecond) return;
    if (happening.node == old_ && !old_leader_counts_) return;
    if (first_ == 0) first_ = happening.time;
    last_ = happening.time;
  }

  uint64_t leaders() const { return leaders_; }
  int64_t first_ms() const { return first_ / kMillisecond; }
  int64_t last_ms() const { return last_ / kMillisecond; }

 private:
  bool old_leader_counts_;
  uint64_t old_ = kNobody;
  std::vector<bool> leads_;
  uint64_t leaders_ = 0;
  int64_t first_ = 0;
  int64_t last_ = 0;
};

// The leader stands at `leader` of the graph, the others at the other places in their order.
std::string story_of(uint64_t nodes, const std::vector<Edge>& edges, uint64_t leader) {
  const std::string cut_at = "at " + std::to_string(kCutAt) + " ";
  std::vector<std::string> names(nodes);
  std::string text = "nodes " + std::to_string(nodes) + "\nstory off\nat 1000 clients 60000\n";
  text += cut_at + "let L be leader\n";
  char next = 'A';
  for (uint64_t place = 0; place < nodes; ++place) {
    names[place] = place == leader ? "L" : std::string(1, next++);
    if (place != leader) text += cut_at + "let " + names[place] + " be another\n";
  }
  for (uint64_t one = 0; one < nodes; ++one) {
    for (uint64_t other = one + 1; other < nodes; ++other) {
      if (std::ranges::find(edges, Edge{one, other}) != edges.end()) continue;
      if (std::ranges::find(edges, Edge{other, one}) != edges.end()) continue;
      text += cut_at + "cut " + names[one] + "-" + names[other] + "\n";
    }
  }
  return text;
}

bool sees_majority(uint64_t nodes, const std::vector<Edge>& edges, uint64_t place) {
  const auto neighbours = std::ranges::count_if(
      edges, [&](const Edge& edge) { return edge.first == place || edge.second == place; });
  return 1 + static_cast<uint64_t>(neighbours) > nodes / 2;
}

bool permits_a_leader(uint64_t nodes, const std::vector<Edge>& edges) {
  for (uint64_t place = 0; place < nodes; ++place) {
    if (sees_majority(nodes, edges, place)) return true;
  }
  return false;
}

struct Worst {
  int64_t thousandths = 0;  // of an election timeout
  std::string where;
  uint64_t runs = 0;
  uint64_t shapes = 0;
};

void play(consensus::Protocol protocol, uint64_t nodes, const std::vector<Edge>& edges,
          uint64_t leader, Worst& worst) {
  const std::string text = story_of(nodes, edges, leader);
  auto script = parse_script("topology", text);
  ASSERT_TRUE(script.has_value()) << script.error().text << "\n" << text;
  const int64_t timeout = script->world.election_timeout / kMillisecond;
  script->until = (kCutAt + kTimeoutsWatched * timeout) * kMillisecond;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Commits commits(nodes, sees_majority(nodes, edges, leader));
    SimOptions options;
    options.observer = &commits;
    options.protocol = protocol;
    const RunResult result = run_script(options, *script, seed);
    const std::string where = text + "seed " + std::to_string(seed);
    ASSERT_EQ(result.violation, "") << where;
    ASSERT_GT(commits.leaders(), 0U) << "the observer understands what it is told";
    ASSERT_NE(commits.first_ms(), 0) << "nobody led\n" << where;
    EXPECT_LE(commits.first_ms() - kCutAt, kTimeoutsMax * timeout) << where;
    EXPECT_GE(commits.last_ms(), kCutAt + (kTimeoutsWatched - 1) * timeout)
        << "leaders chase each other\n"
        << where;
    ++worst.runs;
    const int64_t took = (commits.first_ms() - kCutAt) * 1000 / timeout;
    if (took > worst.thousandths) worst = {took, where, worst.runs, worst.shapes};
  }
}

class Topologies : public ::testing::TestWithParam<consensus::Protocol> {};

INSTANTIATE_TEST_SUITE_P(Protocols, Topologies, ::testing::ValuesIn(consensus::kProtocols),
                         [](const auto& protocol) {
                           return std::string(consensus::name_of(protocol.param));
                         });

TEST_P(Topologies, EveryConnectedNetworkThatPermitsALeaderGetsOne) {
  for (uint64_t nodes = 2; nodes <= 5; ++nodes) {
    Worst worst;
    for (const std::vector<Edge>& edges : connected_graphs(nodes)) {
      if (!permits_a_leader(nodes, edges)) continue;
      for (const uint64_t leader : distinct_positions(nodes, edges)) {
        ++worst.shapes;
        play(GetParam(), nodes, edges, leader, worst);
      }
    }
    std::printf("%d nodes: %d networks with a leader somewhere, %d runs, worst %d.%03d timeouts\n",
                static_cast<int>(nodes), static_cast<int>(worst.shapes),
                static_cast<int>(worst.runs), static_cast<int>(worst.thousandths / 1000),
                static_cast<int>(worst.thousandths % 1000));
    EXPECT_GT(worst.shapes, 0U);
  }
}

TEST(Topology, CountsTheShapesThatAreKnown) {
  // OEIS A001349: connected graphs of so many nodes, up to renaming.
  EXPECT_EQ(connected_graphs(2).size(), 1U);
  EXPECT_EQ(connected_graphs(3).size(), 2U);
  EXPECT_EQ(connected_graphs(4).size(), 6U);
  EXPECT_EQ(connected_graphs(5).size(), 21U);
}

}  // namespace
}  // namespace quorate::sim
