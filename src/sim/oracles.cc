#include "sim/oracles.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace quorate::sim {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }
std::string named(Index index) { return "index " + number(index.value); }

// Safe only as long as at least this many holders exist in every majority.
bool majority(size_t part, size_t whole) { return part * 2 > whole; }

}  // namespace

void Oracles::violated(NodeId node, const std::string& rule) {
  if (violation_.empty()) violation_ = "node " + number(node.value) + ": " + rule;
}

void Oracles::hard_state_written(NodeId node, const consensus::HardState& before,
                                 const consensus::HardState& after) {
  if (protocol_ != consensus::Protocol::raft) return;
  // Raft, section 5.2: a server votes for at most one candidate in a term.
  if (after.promised.round == before.promised.round && before.promised.node &&
      after.promised.node != before.promised.node) {
    violated(node, "two votes in term " + number(after.promised.round) + ": for " +
                       number(before.promised.node.value) + " and then " +
                       number(after.promised.node.value));
  }
}

void Oracles::entry_written(NodeId node, const LogImage::Slot& slot) {
  if (in_slots()) {
    const std::string broken = slots_.asked(slot.entry);
    if (!broken.empty()) violated(node, broken);
    return;
  }
  const Index index = slot.entry.index;
  RoundLog& log = rounds_[slot.entry.ballot.round];
  if (log.chains.empty()) log.first = index;
  if (index < log.first || index.value > log.first.value + log.chains.size()) {
    violated(node, named(index) + " of round " + number(slot.entry.ballot.round) +
                       " does not touch the others of that round: one leader writes one run");
    return;
  }
  const size_t position = index - log.first;
  if (position == log.chains.size()) {
    log.chains.push_back(slot.chain);
  } else if (log.chains[position] != slot.chain) {
    violated(node, "log matching broken: two logs differ up to " + named(index) + " of round " +
                       number(slot.entry.ballot.round));
  }
}

void Oracles::entry_durable(NodeId node, const consensus::Entry& entry) {
  if (!in_slots()) return;
  slots_.accepted(node, entry, member_changes_ == 0 ? &chosen_members_ : nullptr);
}

void Oracles::leading(NodeId node, const consensus::Status& status, const LogImage& log) {
  const consensus::Ballot ballot = office(status.ballot);
  if (in_slots() && ballot.node != node) {
    violated(node, "leads a ballot of node " + number(ballot.node.value));
  }
  Office& known = leaders_.try_emplace(ballot, Office{node}).first->second;
  if (known.node != node) {
    violated(node, "second leader in round " + number(ballot.round) + ", after node " +
                       number(known.node.value));
    return;
  }
  if (known.complete || (in_slots() && !status.established)) return;
  known.complete = true;
  complete(node, ballot, log);
}

void Oracles::complete(NodeId node, const consensus::Ballot& ballot, const LogImage& log) {
  Index required;
  for (const auto& [by, index] : committed_by_) {
    if (by < ballot) required = std::max(required, index);
  }
  if (required <= log.snapshot().index) return;
  uint64_t chain = 0;
  if (!log.chain_at(required, chain)) {
    violated(node, "leader completeness broken: leads round " + number(ballot.round) +
                       " with a log up to " + named(log.last()) + ", but " + named(required) +
                       " is committed");
  } else if (chain != chosen_chain(required)) {
    violated(node, "leader completeness broken: leads round " + number(ballot.round) +
                       " with another log than the committed one up to " + named(required));
  }
}

std::string Oracles::quorum_holds(Index index, uint64_t chain, const consensus::Members& members,
                                  const std::vector<Holder>& holders) const {
  const auto holds = [&](NodeId id) {
    return std::ranges::any_of(holders, [&](const Holder& holder) {
      if (holder.node != id) return false;
      if (index < holder.durable->snapshot().index) return true;
      uint64_t durable_chain = 0;
      return holder.durable->chain_at(index, durable_chain) && durable_chain == chain;
    });
  };
  size_t voters = 0;
  size_t outgoing = 0;
  for (const consensus::Member& member : members.voters) voters += holds(member.id) ? 1 : 0;
  for (const consensus::Member& member : members.outgoing) outgoing += holds(member.id) ? 1 : 0;
  if (!majority(voters, members.voters.size()) ||
      (!members.outgoing.empty() && !majority(outgoing, members.outgoing.size()))) {
    return named(index) + " committed while durable on " + number(voters) + " of " +
           number(members.voters.size()) + " voters";
  }
  return {};
}

void Oracles::choose(NodeId node, const LogImage::Slot& slot) {
  const consensus::Entry& entry = slot.entry;
  if (!in_slots() && !chosen_.empty() && entry.ballot < chosen_.back().ballot) {
    violated(node, "rounds go back along the committed log at " + named(entry.index));
  }
  chosen_.push_back({slot.chain, entry.ballot});
  if (entry.kind == consensus::EntryKind::members) choose_members(node, entry);
  if (!entry.id) return;
  if (entry.id.sequence > fates_.size()) {
    violated(node, named(entry.index) + " holds a proposal nobody made");
    return;
  }
  Fate& fate = fates_[entry.id.sequence - 1];
  const std::string which = "proposal " + number(entry.id.sequence);
  if (fate == Fate::refused) violated(node, which + " was refused, then committed");
  if (fate != Fate::pending) violated(node, which + " is committed twice");
  fate = Fate::chosen;
}

// Thesis, chapter 4: each configuration follows the one before so that any majority of the one
// meets any of the other.
void Oracles::choose_members(NodeId node, const consensus::Entry& entry) {
  const auto members = consensus::decode_members(entry.data);
  if (!members || members->voters.empty()) {
    violated(node, named(entry.index) + " holds no configuration");
    return;
  }
  const auto ids = [](const std::vector<consensus::Member>& list) {
    std::vector<NodeId> found;
    for (const consensus::Member& member : list) found.push_back(member.id);
    return found;
  };
  const consensus::Members before = std::exchange(chosen_members_, *members);
  if (before.voters.empty()) return;
  ++member_changes_;
  const std::vector<NodeId> old_voters = ids(before.voters);
  const std::vector<NodeId> voters = ids(members->voters);
  std::vector<NodeId> differing;
  std::ranges::set_symmetric_difference(old_voters, voters, std::back_inserter(differing));
  const bool same_halves = ids(before.outgoing) == ids(members->outgoing) && differing.empty();
  bool follows = same_halves;
  if (!before.joint() && !members->joint()) follows = differing.size() <= 1;
  if (!before.joint() && members->joint()) follows = ids(members->outgoing) == old_voters;
  if (before.joint() && !members->joint()) follows = differing.empty();
  // In slots a configuration is a stop: nothing behind it is decided by the one before, so any set
  // may follow any.
  if (!follows && !in_slots()) {
    violated(node, "the configuration at " + named(entry.index) +
                       " does not follow safely from the one before");
  }
}

void Oracles::committed(NodeId node, Index index, consensus::Ballot ballot, const LogImage& log,
                        const consensus::Members& members, const std::vector<Holder>& holders) {
  uint64_t chain = 0;
  if (index > log.last()) {
    violated(node, named(index) + " reported committed, but its log ends at " + named(log.last()));
    return;
  }
  if (index < log.snapshot().index) return;  // was compared when it was committed
  if (!log.chain_at(index, chain)) return;
  if (index <= chosen()) {
    if (chain != chosen_chain(index)) {
      violated(node, "committed another log than the others up to " + named(index));
    }
    return;
  }
  // The common prefix must agree before it grows: state machine safety.
  const Index known = chosen();
  uint64_t known_chain = 0;
  if (log.chain_at(known, known_chain) && known_chain != chosen_chain(known)) {
    violated(node, "committed another log than the others up to " + named(known));
    return;
  }
  for (Index next = known.next(); next <= index; ++next) {
    const LogImage::Slot* slot = log.find(next);
    if (slot == nullptr) {
      violated(node, named(next) + " was given back before it was committed");
      return;
    }
    if (in_slots()) judge_slot(node, slot->entry, members);
    choose(node, *slot);
  }
  if (in_slots()) slots_.decided(index);
  // Decided by the configuration in force then: the last one decided, or one that was pending
  // then and still is. In a long turn a next one may have been appended since.
  if (!in_slots()) {
    const std::string lacking = quorum_holds(index, chain, members, holders);
    if (!lacking.empty() && !quorum_holds(index, chain, chosen_members_, holders).empty()) {
      violated(node, lacking);
    }
  }
  Index& best = committed_by_[office(ballot)];
  best = std::max(best, index);
}

// Before the slot counts as chosen: by the configuration that was decided before it, or the one
// that the reporting node goes by.
void Oracles::judge_slot(NodeId node, const consensus::Entry& entry,
                         const consensus::Members& members) {
  const bool founding = chosen_members_.voters.empty();
  const std::string lacking = slots_.undecided(entry, founding ? members : chosen_members_);
  if (!lacking.empty() && !slots_.undecided(entry, members).empty()) violated(node, lacking);
}

void Oracles::snapshot_installed(NodeId node, const consensus::SnapshotMeta& meta) {
  if (meta.index > chosen()) {
    violated(node, "installs a snapshot up to " + named(meta.index) + ", which is not committed");
  } else if (!in_slots() && meta.index && chosen_[meta.index.value - 1].ballot != meta.ballot) {
    violated(node, "installs a snapshot with a wrong ballot at " + named(meta.index));
  }
}

void Oracles::applied(NodeId node, Index applied_before, const consensus::Entry& entry,
                      uint64_t chain) {
  if (entry.index != applied_before.next()) {
    violated(node, "applies " + named(entry.index) + " after " + named(applied_before));
  } else if (entry.index > chosen()) {
    violated(node, "applies " + named(entry.index) + ", which is not committed");
  } else if (chain != chosen_chain(entry.index)) {
    violated(node, "applies another command than the others at " + named(entry.index));
  }
}

void Oracles::proposed(ProposalId id) {
  CHECK(id.sequence == fates_.size() + 1, "proposals are numbered without gaps");
  fates_.push_back(Fate::pending);
}

void Oracles::refused(NodeId node, ProposalId id) {
  if (id.sequence == 0 || id.sequence > fates_.size()) {
    violated(node, "refuses a proposal nobody made");
    return;
  }
  Fate& fate = fates_[id.sequence - 1];
  if (fate != Fate::pending) {
    violated(node, "refuses proposal " + number(id.sequence) + " that was decided already");
  }
  fate = Fate::refused;
}

void Oracles::acknowledged(NodeId node, ProposalId id, Index index) {
  Fate& fate = fates_[id.sequence - 1];
  if (fate != Fate::chosen) {
    violated(node, "acknowledges proposal " + number(id.sequence) + ", which is not committed");
  }
  fate = Fate::acknowledged;
  ++acknowledged_;
  read_floor_ = std::max(read_floor_, index);
}

void Oracles::read_ready(NodeId node, Index floor, Index answer, Index known) {
  if (answer < floor) {
    violated(node, "stale read: answered at " + named(answer) + ", though " + named(floor) +
                       " was acknowledged before it began");
  }
  if (answer > std::max(chosen(), known)) {
    violated(node, "read answered at " + named(answer) + ", beyond all that is committed");
  }
}

uint64_t Oracles::chosen_chain(Index index) const {
  return index ? chosen_[index.value - 1].chain : 0;
}

}  // namespace quorate::sim
