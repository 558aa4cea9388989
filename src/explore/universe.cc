#include "explore/universe.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace quorate::explore {
namespace {

std::vector<consensus::Renaming> renamings_of(const Scope& scope) {
  std::vector<uint8_t> names(scope.nodes);
  std::iota(names.begin(), names.end(), uint8_t{1});
  std::vector<consensus::Renaming> all;
  // Ballots are ordered by the names of nodes too, so in slots a mirror image is another story.
  const bool mirrors =
      scope.symmetry && consensus::log_shape(scope.protocol) == consensus::LogShape::prefix;
  do {
    all.emplace_back(std::span<const uint8_t>(names));
  } while (mirrors && std::ranges::next_permutation(names).found);
  return all;
}

Print key_of(uint32_t node, uint32_t code) {
  const uint64_t both = uint64_t{node} << 32U | code;
  uint64_t mixed = both * 0x9fb21c651e98df25ULL;
  mixed = (mixed ^ (mixed >> 29U)) * 0xd6e8feb86659fd93ULL;
  return {mixed ^ (mixed >> 32U), both};
}

void print_into(consensus::Fingerprint& into, consensus::Protocol /*protocol*/, const Node& node) {
  node.fingerprint(into);
}
void print_into(consensus::Fingerprint& into, consensus::Protocol protocol, const Packet& packet) {
  fingerprint(protocol, packet, into);
}
void print_into(consensus::Fingerprint& into, consensus::Protocol /*protocol*/,
                const History& history) {
  history.fingerprint(into);
}

template <class Thing>
Print print_of(const consensus::Renaming& renaming, consensus::Protocol protocol,
               const Thing& thing) {
  consensus::Fingerprint into(renaming);
  print_into(into, protocol, thing);
  return into.value();
}

std::vector<consensus::Members> single_changes(const consensus::Members& current,
                                               const Scope& scope) {
  std::vector<consensus::Members> all;
  for (uint64_t id = 1; id <= scope.nodes; ++id) {
    consensus::Members changed = current;
    const consensus::Member member{NodeId{id}, 0, {}};
    const bool voter = std::erase(changed.voters, member) != 0;
    const bool learner = std::erase(changed.learners, member) != 0;
    const auto add = [&](bool to_voters, bool to_learners) {
      consensus::Members target = changed;
      if (to_voters) target.voters.push_back(member);
      if (to_learners) target.learners.push_back(member);
      std::ranges::sort(target.voters, {}, &consensus::Member::id);
      std::ranges::sort(target.learners, {}, &consensus::Member::id);
      if (!target.voters.empty()) all.push_back(std::move(target));
    };
    if (voter || learner) add(false, false);
    if (!voter) add(true, false);
    if (!learner && scope.changes == Changes::learners) add(false, true);
  }
  return all;
}

std::vector<consensus::Members> any_voters(const Scope& scope) {
  std::vector<consensus::Members> all;
  for (uint64_t set = 1; set < uint64_t{1} << scope.nodes; ++set) {
    consensus::Members target;
    for (uint64_t id = 1; id <= scope.nodes; ++id) {
      if ((set >> (id - 1) & 1U) != 0) target.voters.push_back({NodeId{id}, 0, {}});
    }
    all.push_back(std::move(target));
  }
  return all;
}

}  // namespace

Universe::Universe(const Scope& scope, uint64_t verify_every)
    : scope_(scope), renamings_(renamings_of(scope)), verify_every_(verify_every) {}

template <class Thing>
void Universe::print_all(const Thing& thing, std::vector<Print>& prints) {
  for (const consensus::Renaming& renaming : renamings_) {
    prints.push_back(print_of(renaming, scope_.protocol, thing));
  }
}

uint32_t Universe::found(NodeId id, const LogImage& disk) {
  return intern(std::make_unique<Node>(scope_, id, disk));
}

Summary Universe::summarize(const Node& node) const {
  const consensus::Status status = node.replica().status();
  Summary summary;
  // In slots a leader learns by leading: what it must know it knows when it is established.
  const bool learned = !node.logical().in_slots() || status.established;
  summary.leads = status.role == consensus::Role::leader && learned;
  const Time deadline = node.replica().deadline();
  summary.armed = scope_.clocks == Clocks::free ? deadline != kNever : deadline <= node.now();
  summary.streams = !node.streams().empty();
  summary.amnesiac = node.amnesiac();
  summary.pending_writes = static_cast<uint8_t>(node.pending_writes());
  summary.untaken = node.untaken();
  summary.life = static_cast<uint8_t>(node.life());
  summary.term = status.ballot.round;
  summary.committed = node.committed();
  summary.snapshot = node.logical().snapshot().index;
  return summary;
}

uint32_t Universe::intern(std::unique_ptr<Node> node) {
  const Print print = print_of(renamings_.front(), scope_.protocol, *node);
  const uint32_t known = node_index_.find(print);
  if (known != FlatIndex::kAbsent) {
    if (verify_every_ != 0 && ++met_again_ % verify_every_ == 0) {
      verify(*nodes_[known].node, *node);
    }
    return known;
  }
  const auto id = static_cast<uint32_t>(nodes_.size());
  node_index_.insert(print, id);
  print_all(*node, node_prints_);
  const Summary summary = summarize(*node);
  nodes_.push_back({std::move(node), summary});
  return id;
}

uint32_t Universe::intern(Packet packet) {
  const Print print = print_of(renamings_.front(), scope_.protocol, packet);
  const uint32_t known = packet_index_.find(print);
  if (known != FlatIndex::kAbsent) return known;
  const auto id = static_cast<uint32_t>(packets_.size());
  packet_index_.insert(print, id);
  print_all(packet, packet_prints_);
  packets_.push_back(std::move(packet));
  return id;
}

uint32_t Universe::intern(const History& history) {
  const Print print = print_of(renamings_.front(), scope_.protocol, history);
  const uint32_t known = history_index_.find(print);
  if (known != FlatIndex::kAbsent) return known;
  const auto id = static_cast<uint32_t>(histories_.size());
  history_index_.insert(print, id);
  print_all(history, history_prints_);
  histories_.push_back(history);
  return id;
}

uint32_t Universe::intern(const Bytes& members) {
  const auto known = std::ranges::find(members_, members);
  const auto id = static_cast<uint32_t>(known - members_.begin());
  if (known == members_.end()) {
    members_.push_back(members);
    targets_.emplace_back();
  }
  return id;
}

const std::vector<uint32_t>& Universe::targets(uint32_t node) {
  NodeRecord& record = nodes_[node];
  const consensus::Members& current = record.node->replica().members();
  if (record.targets == UINT32_MAX) {
    record.targets = intern(encode_members(current));
    if (targets_[record.targets].empty()) {
      std::vector<uint32_t> ids;
      const auto targets =
          scope_.changes == Changes::any ? any_voters(scope_) : single_changes(current, scope_);
      for (const consensus::Members& target : targets) {
        if (target != current) ids.push_back(intern(encode_members(target)));
      }
      targets_[record.targets] = std::move(ids);
    }
  }
  return targets_[record.targets];
}

Order Universe::order_of(Code code) const {
  Order order;
  order.action = code.action;
  order.ends_turn = code.ends_turn;
  order.number = code.argument;
  order.peer = NodeId{code.argument};
  if (code.action == Action::deliver) order.packet = &packets_[code.argument];
  if (code.action == Action::change) {
    order.number = code.argument >> 22U;
    order.members = members_[code.argument & ((1U << 22U) - 1)];
  }
  return order;
}

const Outcome& Universe::perform(uint32_t node, Code code) {
  const Print key = key_of(node, code.packed());
  const uint32_t known = outcome_index_.find(key);
  if (known != FlatIndex::kAbsent) return outcomes_[known];
  const Outcome outcome = work_out(node, code);
  outcome_index_.insert(key, static_cast<uint32_t>(outcomes_.size()));
  outcomes_.push_back(outcome);
  return outcomes_.back();
}

Outcome Universe::work_out(uint32_t node, Code code) {
  ++core_steps_;
  const Node& before = *nodes_[node].node;
  auto after = std::make_unique<Node>(before);
  Effects effects;
  Outcome outcome;
  try {
    after->perform(order_of(code), effects);
  } catch (const CheckFailed& failed) {
    effects.violation = failed.text;
  }
  if (!effects.violation.empty()) {
    outcome.next = node;
    outcome.flags = Outcome::kBroken;
    outcome.detail = static_cast<uint32_t>(broken_.size());
    broken_.push_back("node " + std::to_string(before.self().value) + ": " + effects.violation);
    return outcome;
  }
  if (after->logical().content_print() != before.logical().content_print()) {
    outcome.flags |= Outcome::kWrites;
  }
  if (after->committed() > before.committed()) outcome.flags |= Outcome::kCommits;
  if (!effects.reads.empty() || !effects.reads_refused.empty()) {
    outcome.flags |= Outcome::kAnswers;
    outcome.detail = static_cast<uint32_t>(answers_.size());
    answers_.push_back({effects.reads, effects.reads_refused});
  }
  if (!effects.refused.empty()) outcome.flags |= Outcome::kRefuses;
  const Summary summary_before = nodes_[node].summary;
  outcome.next = intern(std::move(after));
  const Summary& summary = nodes_[outcome.next].summary;
  if (summary.leads && (!summary_before.leads || summary_before.term != summary.term)) {
    outcome.flags |= Outcome::kLeads;
  }
  outcome.first_packet = static_cast<uint32_t>(sent_.size());
  outcome.packets = static_cast<uint16_t>(effects.packets.size());
  for (Packet& packet : effects.packets) sent_.push_back(intern(std::move(packet)));
  return outcome;
}

// ---- The fingerprints themselves are under test here.

Order Universe::random_order(NodeId self) {
  Order order;
  const uint64_t choice = rng_.below(20);
  order.peer = NodeId{1 + rng_.below(scope_.nodes)};
  order.number = 1 + rng_.below(4);
  if (choice < 12 && !packets_.empty()) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      const Packet& packet = packets_[rng_.below(packets_.size())];
      if (packet.to != self) continue;
      order.action = Action::deliver;
      order.packet = &packet;
      return order;
    }
  }
  static constexpr Action kSome[] = {
      Action::wake,    Action::propose, Action::pass,       Action::read,         Action::transfer,
      Action::compact, Action::sync,    Action::disconnect, Action::stream_fails, Action::crash};
  order.action = kSome[rng_.below(std::size(kSome))];
  return order;
}

// Two nodes with one fingerprint live the same random life and must never differ.
void Universe::verify(const Node& one, const Node& other) {
  ++verified_;
  Node left(one);
  Node right(other);
  for (int step = 0; step < 8; ++step) {
    const Order order = random_order(left.self());
    if (order.action == Action::sync && left.pending_writes() == 0) continue;
    if (order.action == Action::wake && left.replica().deadline() == kNever) continue;
    const auto live = [&](Node& node) {
      Effects effects;
      std::vector<Print> seen;
      try {
        node.perform(order, effects);
      } catch (const CheckFailed&) {
        return seen;  // a mutant or an order that cannot be given now
      }
      seen.push_back(print_of(renamings_.front(), scope_.protocol, node));
      for (const Packet& packet : effects.packets) {
        seen.push_back(print_of(renamings_.front(), scope_.protocol, packet));
      }
      std::ranges::sort(std::next(seen.begin()), seen.end());
      for (const auto& read : effects.reads) seen.push_back({read.id.value, read.index.value});
      for (const auto& id : effects.refused) seen.push_back({id.sequence, 0});
      return seen;
    };
    const std::vector<Print> expected = live(left);
    CHECK(live(right) == expected, "what has one fingerprint behaves alike (raft/fingerprint.cc)");
    if (expected.empty()) return;
  }
}

}  // namespace quorate::explore
