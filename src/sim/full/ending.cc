#include "sim/full/ending.h"

#include <algorithm>
#include <utility>

namespace quorate::sim::full {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kFreshWrites = 5;
constexpr uint64_t kFreshReads = 3;
// Generous: several failed elections, a transfer that is given up and sent again (half a minute
// of silence), a connection given up. What takes longer is not slow but stuck.
constexpr int64_t kElectionTimeoutsMax = 60;
constexpr Duration kCoreMore = seconds(60);
constexpr Duration kAllMore = seconds(120);

}  // namespace

// A quorum at least, of members whose data is whole; before anything was decided, everybody.
std::vector<uint64_t> Ending::draw_core() {
  cluster_.review_all();
  std::vector<uint64_t> whole;
  for (uint64_t member = 0; member < cluster_.size(); ++member) {
    if (cluster_.atlas().whole(member)) whole.push_back(member);
  }
  if (!cluster_.atlas().recoverable()) return {};
  for (size_t left = whole.size(); left > 1; --left) {
    std::swap(whole[left - 1], whole[rng_.below(left)]);
  }
  whole.resize(rng_.between(cluster_.atlas().quorum(), whole.size()));
  std::ranges::sort(whole);
  return whole;
}

void Ending::run() {
  nemesis_.stop();
  clients_.stop();
  const std::vector<uint64_t> core = draw_core();
  const Duration timeouts = cluster_.swarm().election_timeout * kElectionTimeoutsMax;
  if (!core.empty() && core.size() < cluster_.size()) {
    cluster_.say(NodeId{}, [&] {
      std::string text = "CORE";
      for (const uint64_t member : core) text += " m" + std::to_string(member + 1);
      return text;
    });
    nemesis_.spare(core);
    // Without pre-vote somebody who does not hear but speaks can depose every leader.
    if (!cluster_.swarm().pre_vote || rng_.below(2) == 0) nemesis_.cut_off(core);
    require(core, "the core is healthy", timeouts + kCoreMore);
  }
  if (cluster_.truth().broken()) return;
  cluster_.say(NodeId{}, [] { return std::string("HEALED"); });
  nemesis_.heal_all();
  watchers_.settle();
  std::vector<uint64_t> all;
  for (uint64_t member = 0; member < cluster_.size(); ++member) all.push_back(member);
  require(all, "everything is healed", timeouts + kAllMore);
}

void Ending::tend(const std::vector<uint64_t>& members) {
  for (const uint64_t member : members) {
    // Whether damage matters is seen when everything is read again.
    if (cluster_.up(member) && cluster_.atlas().state(member) == Atlas::State::damaged) {
      cluster_.crash(member, world::CrashKind::process);
    }
    if (!cluster_.up(member)) nemesis_.bring_back(member);
  }
}

void Ending::ask(const std::vector<uint64_t>& members) {
  const uint64_t member = members[rng_.below(members.size())];
  if (!cluster_.up(member)) return;
  if (clients_.acknowledged() - writes_before_ < kFreshWrites) {
    clients_.ask(member, Operation::Kind::write);
  } else if (clients_.served() - reads_before_ < kFreshReads) {
    clients_.ask(member, Operation::Kind::read);
  }
}

void Ending::require(const std::vector<uint64_t>& members, const std::string& phase,
                     Duration bound) {
  writes_before_ = clients_.acknowledged();
  reads_before_ = clients_.served();
  const Time end = cluster_.now() + bound;
  const Duration pause = cluster_.swarm().election_timeout / 4;
  while (true) {
    tend(members);
    ask(members);
    if (!cluster_.step_until(cluster_.now() + pause)) return;
    const std::string lacking = missing(members);
    if (lacking.empty()) return;
    if (cluster_.now() < end) continue;
    cluster_.truth().violated(
        NodeId{}, phase + " for " +
                      std::to_string(std::chrono::duration_cast<seconds>(bound).count()) +
                      " s, but " + lacking);
    return;
  }
}

std::string Ending::missing(const std::vector<uint64_t>& members) const {
  if (cluster_.leader() == cluster_.size()) return "there is no leader";
  if (clients_.acknowledged() - writes_before_ < kFreshWrites) return "writes are not answered";
  if (clients_.served() - reads_before_ < kFreshReads) return "reads are not answered";
  const uint64_t target = cluster_.truth().size();
  const uint64_t lead = cluster_.leader();
  std::optional<uint32_t> hash;
  for (const uint64_t member : members) {
    const std::string name = "member " + std::to_string(Cluster::id_of(member).value);
    if (!cluster_.up(member)) return name + " is down";
    if (!cluster_.atlas().whole(member)) return name + " is not admitted again";
    // A leader outside the core that part of it cannot see may stay in office: Raft elects
    // nobody else while a majority hears it, and has no other way to those who do not.
    const bool outside = std::ranges::find(members, lead) == members.end();
    if (outside && nemesis_.troubles_between(lead, member)) continue;
    const machine::StateMachine& machine = cluster_.member(member).node->machine();
    if (machine.applied().value != target) {
      return name + " has applied " + std::to_string(machine.applied().value) + " of " +
             std::to_string(target) + " entries";
    }
    if (!hash) hash = machine.state_hash();
    if (*hash != machine.state_hash()) return name + " has another state";
  }
  // Nobody renews them any more, and somebody leads: they must end, however late.
  const size_t leases = members.size() == cluster_.size() ? cluster_.truth().leases().alive() : 0;
  if (leases != 0) return std::to_string(leases) + " leases have not ended";
  return members.size() == cluster_.size() ? watchers_.lacking() : std::string();
}

}  // namespace quorate::sim::full
