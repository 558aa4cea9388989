// Moves in words: one line for each, the same whenever the same happens, so that a trace can be
// read by people and played again.
#include <algorithm>

#include "explore/moves.h"

namespace quorate::explore {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

std::string set_text(const std::vector<consensus::Member>& members) {
  std::string text;
  for (const consensus::Member& member : members) {
    text += (text.empty() ? "" : ",") + number(member.id.value);
  }
  return "{" + text + "}";
}

std::string members_text(const consensus::Members& members) {
  std::string text = set_text(members.voters);
  if (members.joint()) text += " from " + set_text(members.outgoing);
  if (!members.learners.empty()) text += " learners " + set_text(members.learners);
  return text;
}

std::string role_text(consensus::Role role) {
  switch (role) {
    case consensus::Role::follower:
      return "follower";
    case consensus::Role::candidate:
      return "candidate";
    case consensus::Role::leader:
      return "leader";
    case consensus::Role::learner:
      return "learner";
  }
  return {};
}

// The log as index/term, the part that is not durable yet behind a bar.
std::string log_text(const Node& node) {
  const LogImage& log = node.logical();
  std::string text;
  if (log.snapshot().index) {
    text += " ..." + number(log.snapshot().index.value) + "/" + number(log.snapshot().ballot.round);
  }
  for (const Slot& slot : log.slots()) {
    const Index index = slot.entry.index;
    if (!slot.held) {
      text += " " + number(index.value) + "/.";
      continue;
    }
    const Slot* stored = node.durable().find(index);
    const bool durable = stored != nullptr && stored->entry.ballot == slot.entry.ballot &&
                         node.durable().print_at(index) == log.print_at(index);
    text += durable ? " " : " *";
    text += number(index.value) + "/" + number(slot.entry.ballot.round);
    if (slot.entry.kind == consensus::EntryKind::members) text += "m";
  }
  return text;
}

std::string node_text(const Node& node) {
  const consensus::Status status = node.replica().status();
  std::string text = role_text(status.role) + " of term " + number(status.ballot.round);
  text += ", log" + log_text(node) + ", committed " + number(status.committed.value);
  if (node.untaken() > 0) text += ", effects still to come";
  return text;
}

std::string event_text(const Universe& universe, const Move& move) {
  const uint32_t argument = move.code.argument;
  switch (move.code.action) {
    case Action::deliver: {
      const Packet& packet = universe.packet(argument);
      return "gets from " + number(packet.from.value) + ": " +
             describe(universe.scope().protocol, packet);
    }
    case Action::wake:
      return "its deadline passes";
    case Action::pass:
      return "an election timeout passes unnoticed";
    case Action::sync:
      return "its oldest write is durable";
    case Action::crash:
      return "crashes and starts again";
    case Action::wipe:
      return "loses its disk and starts again";
    case Action::propose:
      return "is asked for command " + number(argument);
    case Action::change: {
      const Bytes& members = universe.members(argument & ((1U << 22U) - 1));
      return "is asked for the members " + members_text(*consensus::decode_members(members)) +
             " (proposal " + number(argument >> 22U) + ")";
    }
    case Action::read:
      return "is asked for read " + number(argument);
    case Action::transfer:
      return "is asked to hand over to " + number(argument);
    case Action::compact:
      return "gives back its log up to " + number(argument);
    case Action::stream_fails:
      return "its snapshot for " + number(argument) + " fails";
    case Action::disconnect:
      return "loses its connection to " + number(argument);
    case Action::turn:
      return "its effects come";
  }
  return {};
}

std::string packet_name(const Universe& universe, uint32_t id) {
  const Packet& packet = universe.packet(id);
  return number(packet.from.value) + "->" + number(packet.to.value) + " " +
         describe(universe.scope().protocol, packet);
}

}  // namespace

std::string Moves::describe(const State& before, const Move& move, const State* after) const {
  if (move.node == Move::kAllNodes) {
    const bool slow = move.code.argument < scope_.nodes;
    return "time passes" + (slow ? ", slowly on " + number(move.code.argument + 1) : "");
  }
  std::string text = number(uint64_t{move.node} + 1) + " " + event_text(universe_, move);
  if (move.kept) text += " (and once more later)";
  if ((move.outcome->flags & Outcome::kBroken) != 0) return text;
  text += " | " + node_text(universe_.node(move.outcome->next));
  std::vector<uint32_t> lost(before.packets.begin(), before.packets.begin() + before.in_flight);
  for (size_t place = 0; place < move.outcome->packets; ++place) {
    const uint32_t packet = universe_.packet_of(*move.outcome, place);
    text += (place == 0 ? " | says " : "; ") + packet_name(universe_, packet);
    lost.push_back(packet);
  }
  if (after == nullptr) return text;
  const auto take = [&](uint32_t packet) {
    const auto found = std::ranges::find(lost, packet);
    if (found != lost.end()) lost.erase(found);
  };
  if (move.code.action == Action::deliver && !move.kept) take(move.code.argument);
  for (size_t place = 0; place < after->in_flight; ++place) take(after->packets[place]);
  for (size_t place = 0; place < lost.size(); ++place) {
    text += (place == 0 ? " | lost " : "; ") + packet_name(universe_, lost[place]);
  }
  return text;
}

}  // namespace quorate::explore
