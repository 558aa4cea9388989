#include "consensus/test_chaos.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>

namespace quorate::consensus::testing {
namespace {

class Chaos {
 public:
  explicit Chaos(const ChaosChoices& choices)
      : choices_(choices), rng_(choices.seed), cluster_(options(choices)) {
    cluster_.filter = [this](const Message& message) { return travels(message); };
  }

  void run(int steps) {
    for (int step = 0; step < steps; ++step) act();
  }

  // Heals everything and expects that one fresh command reaches everybody.
  void converge() {
    calm_ = true;
    cluster_.heal();
    for (uint64_t id = 1; id <= size(); ++id) {
      cluster_.node(id).disk_stalls = false;
      if (cluster_.node(id).replica == nullptr) cluster_.restart(id);
      cluster_.sync(id);
    }
    cluster_.advance(3 * cluster_.election_timeout());
    cluster_.elect();
    if (choices_.changes) {
      change_members(true);
      cluster_.advance(5 * cluster_.election_timeout());
    }
    cluster_.propose(cluster_.elect(), "the last");
    cluster_.advance(20 * cluster_.election_timeout());
    const auto expected = cluster_.texts(cluster_.leader());
    ASSERT_FALSE(expected.empty());
    for (uint64_t id = 1; id <= size(); ++id) {
      EXPECT_EQ(cluster_.texts(id), expected)
          << "seed " << choices_.seed << " " << cluster_.replica(id).describe();
    }
    EXPECT_NE(std::ranges::find(expected, "the last"), expected.end()) << choices_.seed;
    commands_ += expected.size();
  }

  size_t commands() const { return commands_; }
  size_t changes() const { return changes_; }

 private:
  static TestOptions options(const ChaosChoices& choices) {
    TestOptions options;
    options.protocol = choices.protocol;
    options.voters = choices.voters;
    options.learners = choices.changes ? 5 - choices.voters : 0;
    options.pre_vote = choices.pre_vote;
    options.lease_reads = choices.leases;
    options.seed = choices.seed;
    options.tail_entries = choices.seed % 3 == 0 ? 2 : 1000;
    return options;
  }

  bool travels(const Message& message) {
    if (calm_) return true;
    if (rng_.below(100) < 8) return false;
    if (rng_.below(100) < 5) cluster_.network().push_back(message);
    return true;
  }

  uint64_t size() const { return choices_.changes ? 5 : choices_.voters; }
  uint64_t anybody() { return rng_.between(1, size()); }
  bool up(uint64_t id) { return cluster_.node(id).replica != nullptr; }

  void deliver_some() {
    auto& network = cluster_.network();
    for (uint64_t count = rng_.below(20); count > 0 && !network.empty(); --count) {
      if (rng_.below(4) == 0) std::swap(network.front(), network[rng_.below(network.size())]);
      cluster_.deliver_one();
    }
  }

  void act() {
    const uint64_t id = anybody();
    const uint64_t dice = rng_.below(1000);
    if (dice < 450) return deliver_some();
    if (dice < 620) return wake_due();
    if (dice < 700) {
      if (up(id)) cluster_.node(id).disk_stalls = rng_.below(2) == 0;
      if (up(id)) cluster_.sync(id, rng_.below(3));
      return;
    }
    if (dice < 900) {
      const uint64_t to = cluster_.leader() != 0 && rng_.below(4) != 0 ? cluster_.leader() : id;
      if (up(to)) cluster_.propose(to, std::to_string(++proposals_));
      return;
    }
    disturb(id, dice);
  }

  void wake_due() {
    cluster_.pass(Duration{rng_.below(150'000'000)});
    for (uint64_t id = 1; id <= size(); ++id) {
      if (up(id) && cluster_.replica(id).deadline() <= cluster_.now()) cluster_.wake(id);
    }
  }

  // Any other set of voters at once; who is none learns.
  void change_members(bool all) {
    const uint64_t leader = cluster_.leader();
    if (leader == 0) return;
    Members target;
    for (uint64_t id = 1; id <= size(); ++id) {
      const bool votes = all || rng_.below(3) != 0;
      (votes ? target.voters : target.learners)
          .push_back({NodeId{id}, 0, Bytes("node" + std::to_string(id))});
    }
    if (target.voters.empty()) return;
    cluster_.propose_members(leader, target);
    ++changes_;
  }

  // Of each slot at most one copy is ruined, so that the others have it.
  void rot(uint64_t id) {
    auto& disk = cluster_.node(id).disk;
    if (disk.entries.empty()) return;
    auto place = disk.entries.begin();
    std::advance(place, rng_.below(disk.entries.size()));
    if (!rotten_.insert(place->first).second) return;
    const uint64_t index = place->first.value;
    cluster_.rot(id, index);
    if (up(id) && rng_.below(2) == 0) {
      cluster_.notice(id, index);
    } else {
      cluster_.restart(id);
    }
  }

  void disturb(uint64_t id, uint64_t dice) {
    if (choices_.changes && rng_.below(4) == 0) return change_members(false);
    if (choices_.rots && rng_.below(4) == 0) return rot(id);
    if (dice < 920) {
      if (up(id)) cluster_.read(id);
    } else if (dice < 935) {
      cluster_.heal();
      if (rng_.below(2) == 0) cluster_.isolate(id);
      if (rng_.below(2) == 0) cluster_.cut(anybody(), anybody());
    } else if (dice < 950) {
      if (up(id)) cluster_.crash(id);
    } else if (dice < 975) {
      if (!up(id)) restart(id);
    } else if (dice < 985) {
      const size_t applied = cluster_.node(id).applied.size();
      if (up(id) && applied > 2) cluster_.compact(id, rng_.between(1, applied));
    } else if (dice < 992) {
      if (up(id)) cluster_.step(id, TransferLead{});
    } else {
      if (up(id)) cluster_.step(id, Disconnected{NodeId{anybody()}});
    }
  }

  // At most a minority ever loses its data, and only one at a time: more is beyond what a
  // majority protocol can survive.
  void restart(uint64_t id) {
    const bool may_wipe = choices_.wipes && rng_.below(2) == 0 && (wiped_ == 0 || readmitted());
    if (!may_wipe) return cluster_.restart(id);
    wiped_ = id;
    cluster_.wipe_and_restart(id);
  }

  bool readmitted() {
    if (wiped_ == 0 || !up(wiped_)) return false;
    return cluster_.replica(wiped_).describe().find("amnesiac") == std::string::npos;
  }

  ChaosChoices choices_;
  Rng rng_;
  TestCluster cluster_;
  bool calm_ = false;
  uint64_t proposals_ = 0;
  uint64_t wiped_ = 0;
  size_t commands_ = 0;
  size_t changes_ = 0;
  std::set<Index> rotten_;
};

// QUORATE_CHAOS multiplies the seeds, for a longer hunt by hand.
uint64_t times() {
  const char* text = std::getenv("QUORATE_CHAOS");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

}  // namespace

void play_chaos(ChaosChoices choices, uint64_t seeds) {
  size_t commands = 0;
  seeds *= times();
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    choices.seed = seed;
    Chaos chaos(choices);
    chaos.run(1500);
    chaos.converge();
    commands += chaos.commands();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(commands, seeds * 20) << "the schedules let nearly nothing through";
}

}  // namespace quorate::consensus::testing
