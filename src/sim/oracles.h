// sim/oracles.h: what must be true of every cluster, whatever the protocol and the weather.
//
// Fed with every write, decision, answer and change of role as it happens, in O(1) each: logs are
// compared through their chains (sim/log_image.h). The first broken rule is kept as a sentence;
// nothing is aborted here. Rules marked "Raft" or "slots" know more than the door says: those of
// protocols that keep ballots, and those of protocols that decide slot by slot (sim/slot_oracle.h).
//
// The central record is `chosen`: for every index, the entry first reported committed by anyone.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "consensus/factory.h"
#include "sim/log_image.h"
#include "sim/slot_oracle.h"

namespace quorate::sim {

// Whose durable log counts in a quorum. A member that lost its data counts with the log it lost
// until it is admitted again (docs/decisions/0004).
struct Holder {
  NodeId node;
  const LogImage* durable = nullptr;
};

enum class Fate : uint8_t { pending, refused, chosen, acknowledged };

class Oracles {
 public:
  explicit Oracles(consensus::Protocol protocol)
      : protocol_(protocol), shape_(consensus::log_shape(protocol)) {}

  consensus::LogShape shape() const { return shape_; }
  const std::string& violation() const { return violation_; }
  void violated(NodeId node, const std::string& rule);

  // Election safety, vote durability: hard states in the order they were written.
  void hard_state_written(NodeId node, const consensus::HardState& before,
                          const consensus::HardState& after);
  // Raft: log matching: same index and ballot, same prefix. Slots: one value for each ballot, and
  // none but the chosen one in later ballots.
  void entry_written(NodeId node, const LogImage::Slot& slot);
  void entry_durable(NodeId node, const consensus::Entry& entry);
  // A node says it leads: at most one for each term (Raft) or ballot (slots), and it holds all that
  // was committed before: in slots once it is established, since it learns by leading.
  void leading(NodeId node, const consensus::Status& status, const LogImage& log);
  // A node says that everything up to `index` is committed.
  void committed(NodeId node, Index index, consensus::Ballot ballot, const LogImage& log,
                 const consensus::Members& members, const std::vector<Holder>& holders);
  void snapshot_installed(NodeId node, const consensus::SnapshotMeta& meta);
  void applied(NodeId node, Index applied_before, const consensus::Entry& entry, uint64_t chain);

  Fate fate(ProposalId id) const { return fates_[id.sequence - 1]; }
  uint64_t next_proposal() { return fates_.size() + 1; }
  void proposed(ProposalId id);
  void refused(NodeId node, ProposalId id);
  void acknowledged(NodeId node, ProposalId id, Index index);

  // The least index that a read begun now may be answered with.
  Index read_floor() const { return read_floor_; }
  // `known`: what the node knows to be committed, which a damaged log may keep it from reporting.
  void read_ready(NodeId node, Index floor, Index answer, Index known);
  void read_served(Index index) { read_floor_ = std::max(read_floor_, index); }

  Index chosen() const { return Index{chosen_.size()}; }
  uint64_t chosen_chain(Index index) const;  // index 0: the empty log's
  // The newest configuration that anybody reported committed.
  const consensus::Members& chosen_members() const { return chosen_members_; }
  uint64_t elections() const { return leaders_.size(); }
  uint64_t acknowledged_count() const { return acknowledged_; }
  uint64_t member_changes() const { return member_changes_; }

 private:
  struct Chosen {
    uint64_t chain = 0;
    consensus::Ballot ballot;
  };
  struct RoundLog {
    Index first;
    std::vector<uint64_t> chains;
  };
  bool in_slots() const { return shape_ == consensus::LogShape::slots; }
  // Whose office it is: of a term there is one, whoever got votes in it.
  consensus::Ballot office(const consensus::Ballot& ballot) const {
    return in_slots() ? ballot : consensus::Ballot{ballot.round, {}};
  }
  void complete(NodeId node, const consensus::Ballot& ballot, const LogImage& log);
  void judge_slot(NodeId node, const consensus::Entry& entry, const consensus::Members& members);
  void choose(NodeId node, const LogImage::Slot& slot);
  void choose_members(NodeId node, const consensus::Entry& entry);
  std::string quorum_holds(Index index, uint64_t chain, const consensus::Members& members,
                           const std::vector<Holder>& holders) const;

  consensus::Protocol protocol_;
  consensus::LogShape shape_;
  SlotOracle slots_;
  std::string violation_;
  std::vector<Chosen> chosen_;
  std::map<uint64_t, RoundLog> rounds_;  // Raft: entries by the term that created them
  struct Office {
    NodeId node;
    bool complete = false;  // was seen to hold everything
  };
  std::map<consensus::Ballot, Office> leaders_;
  std::map<consensus::Ballot, Index> committed_by_;  // highest index first committed in an office
  std::vector<Fate> fates_;                          // by proposal sequence - 1
  uint64_t acknowledged_ = 0;
  uint64_t member_changes_ = 0;
  Index read_floor_;
  consensus::Members chosen_members_;
};

}  // namespace quorate::sim
