#include "sim/finish.h"

#include <algorithm>

namespace quorate::sim {
namespace {

constexpr uint64_t kFreshCommits = 5;
constexpr uint64_t kFreshReads = 2;
// Generous: several failed elections, a snapshot that must be sent again, a re-admission. What
// takes longer than this is not slow but stuck.
constexpr int64_t kElectionTimeoutsMax = 60;

class Finish {
 public:
  explicit Finish(Cluster& cluster) : cluster_(cluster) {}

  void run() {
    const int64_t timeout = cluster_.swarm().election_timeout;
    const int64_t end = cluster_.now() + kElectionTimeoutsMax * timeout;
    acknowledged_before_ = cluster_.oracles().acknowledged_count();
    served_before_ = cluster_.reads_served();
    cluster_.schedule(EventKind::check, timeout / 2);
    while (!cluster_.failed() && !done_) {
      const Scheduled event = cluster_.advance();
      if (event.kind == EventKind::check) look();
      if (cluster_.now() > end) {
        cluster_.oracles().violated(NodeId{}, "healed for " + std::to_string(kElectionTimeoutsMax) +
                                                  " election timeouts, but " + missing());
      }
    }
  }

 private:
  uint64_t fresh() const { return cluster_.oracles().acknowledged_count() - acknowledged_before_; }

  uint64_t served() const { return cluster_.reads_served() - served_before_; }

  // What is still lacking, or nothing.
  std::string missing() const {
    const uint64_t leader = cluster_.leader();
    if (leader == cluster_.size() || !cluster_.node(leader).replica->status().established) {
      return "there is no established leader";
    }
    if (fresh() < kFreshCommits) return "fresh proposals are not committed";
    if (served() < kFreshReads || cluster_.open_reads() != 0) return "reads are not answered";
    const Index chosen = cluster_.oracles().chosen();
    const consensus::Members members = cluster_.oracles().chosen_members();
    if (members.joint()) return "a joint configuration is not left";
    for (uint64_t position = 0; position < cluster_.size(); ++position) {
      const SimNode& node = cluster_.node(position);
      if (!members.contains(node.id)) continue;
      const std::string name = "node " + std::to_string(node.id.value);
      if (!node.alive) return name + " is down";
      if (node.ghost) return name + " is not a member again";
      const consensus::Status status = node.replica->status();
      if (status.damaged != 0 || status.store_lost) return name + " is not repaired";
      if (node.machine.applied != chosen) {
        return name + " has applied up to " + std::to_string(node.machine.applied.value) + " of " +
               std::to_string(chosen.value);
      }
      if (node.machine.chain != cluster_.oracles().chosen_chain(chosen)) {
        return name + " has applied something else";
      }
      if (!node.waiting_reads.empty()) return name + " has reads that wait";
    }
    return {};
  }

  void look() {
    const uint64_t leader = cluster_.leader();
    if (leader < cluster_.size()) {
      if (fresh() < kFreshCommits) cluster_.propose(leader, 0);
      if (fresh() >= kFreshCommits && served() < kFreshReads) cluster_.read(leader);
    }
    done_ = missing().empty();
    cluster_.schedule(EventKind::check, cluster_.swarm().election_timeout / 4);
  }

  Cluster& cluster_;
  uint64_t acknowledged_before_ = 0;
  uint64_t served_before_ = 0;
  bool done_ = false;
};

}  // namespace

void require_recovery(Cluster& cluster) {
  if (!cluster.failed()) Finish(cluster).run();
}

}  // namespace quorate::sim
