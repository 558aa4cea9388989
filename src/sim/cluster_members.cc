// Who takes part: nodes that stand outside, come in as learners without data, and are retired
// once no configuration anyone might still use names them.
#include <algorithm>

#include "base/check.h"
#include "sim/cluster.h"

namespace quorate::sim {
namespace {

bool names(const consensus::Members& members, NodeId id) { return members.contains(id); }

}  // namespace

// The newest configuration of each log: the ones that may still decide something. In slots one is
// in force once it is decided; any that somebody has accepted, or that is still on its way to an
// acceptor, may yet be.
std::vector<consensus::Members> Cluster::configurations_in_play() const {
  std::vector<consensus::Members> found;
  const auto add = [&](const Bytes& encoded) {
    if (auto members = consensus::decode_members(encoded)) found.push_back(std::move(*members));
  };
  const bool slots = shape() == consensus::LogShape::slots;
  for (const SimNode& node : nodes_) {
    if (node.outside) continue;
    if (node.alive) found.push_back(node.replica->members());
    if (node.alive && !slots) continue;
    const LogImage& log = node.alive ? node.logical : node.durable;
    Bytes newest = log.snapshot().members;
    for (Index index = log.last(); index >= log.first(); index = index.previous()) {
      const LogImage::Slot* slot = log.find(index);
      if (slot == nullptr || slot->entry.kind != consensus::EntryKind::members) continue;
      newest = slot->entry.data;
      if (!slots || index <= log.hard_state().committed) break;
      add(newest);
    }
    add(newest);
  }
  for (const OnItsWay& sent : messages_) {
    for (const consensus::Entry& entry : sent.message.entries) {
      if (slots && entry.kind == consensus::EntryKind::members) add(entry.data);
    }
  }
  found.push_back(oracles_.chosen_members());
  return found;
}

// Whether a majority of each half has its memory, were `lost` to lose it as well.
bool Cluster::remembers_enough(const consensus::Members& members, uint64_t lost) const {
  const auto enough = [&](const std::vector<consensus::Member>& voters) {
    const auto remembering = std::ranges::count_if(voters, [&](const consensus::Member& voter) {
      const SimNode& node = nodes_[voter.id.value - 1];
      return !node.outside && !node.amnesiac && node.position != lost;
    });
    return voters.empty() || static_cast<size_t>(remembering) * 2 > voters.size();
  };
  return enough(members.voters) && enough(members.outgoing);
}

bool Cluster::may_wipe(uint64_t position) const {
  if (nodes_[position].outside) return false;
  if (damage_anywhere() || (swarm_.store_losses && memory_lost())) return false;
  return std::ranges::all_of(configurations_in_play(), [&](const consensus::Members& members) {
    return remembers_enough(members, position);
  });
}

bool Cluster::may_retire(uint64_t position) const {
  const SimNode& node = nodes_[position];
  if (node.outside) return false;
  const consensus::Members chosen = oracles_.chosen_members();
  if (chosen.joint()) return false;
  return std::ranges::none_of(configurations_in_play(), [&](const consensus::Members& members) {
    return names(members, node.id);
  });
}

void Cluster::retire(uint64_t position) {
  SimNode& node = nodes_[position];
  record([&] { return "retire " + named(position); });
  if (node.alive) die(node);
  if (tracing_) say("n" + std::to_string(position + 1) + " RETIRES");
  node.durable = LogImage(Bytes{}, shape());
  node.durable_machine = {};
  node.machine = {};
  node.ghost.reset();
  node.bootstrap = {};
  node.outside = true;
}

void Cluster::introduce(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.outside) return;
  if (tracing_) say("n" + std::to_string(position + 1) + " COMES IN");
  node.outside = false;
  node.amnesiac = true;
  ++node.incarnation;
  restart(position);
}

void Cluster::change_members(uint64_t position, const consensus::Members& target) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  for (const NodeId id : target.everyone()) {
    CHECK(id.value >= 1 && id.value <= size(), "only nodes of this world take part");
    introduce(id.value - 1);
  }
  const ProposalId id{node.id, oracles_.next_proposal()};
  oracles_.proposed(id);
  proposals_.push_back({position, node.life});
  record([&] { return "change n" + std::to_string(position + 1) + " " + describe(target); });
  if (tracing_) say("n" + std::to_string(position + 1) + " is asked for " + describe(target));
  hash_.add(id.sequence);
  step(node, consensus::Propose{id, consensus::EntryKind::members, encode_members(target)});
}

std::string describe(const consensus::Members& members) {
  std::string text = "voters";
  for (const auto& member : members.voters) text += " n" + std::to_string(member.id.value);
  if (members.joint()) text += " outgoing";
  for (const auto& member : members.outgoing) text += " n" + std::to_string(member.id.value);
  if (!members.learners.empty()) text += " learners";
  for (const auto& member : members.learners) text += " n" + std::to_string(member.id.value);
  return text;
}

}  // namespace quorate::sim
