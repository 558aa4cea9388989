// sim/full/truth.h: what was decided, as the first member to apply each entry showed it.
//
// Every member's machine is watched (observed_machine.h). The first that applies an index decides
// what that index holds; everybody else must apply the very same, in the same order, without
// gaps, and must have the same state hash afterwards. A model (model.h) runs along and tells what
// the clients must hear. The first broken rule is kept as text and ends the run.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "consensus/replicated_log.h"
#include "machine/etcd/commands.h"
#include "sim/full/lease_rules.h"
#include "sim/full/model.h"
#include "sim/hash.h"

namespace quorate::sim::full {

class Truth {
 public:
  struct Decided {
    consensus::EntryKind kind = consensus::EntryKind::noop;
    uint64_t round = 0;
    uint64_t fingerprint = 0;  // of a command or a configuration
    int64_t revision = 1;      // of the store after it
    std::string answer;        // what the client of a command must hear
  };

  // `by_round`: every member applies an entry with the same round, and rounds only grow along the
  // log. Where ballots are rewritten (Multi-Paxos) neither holds.
  explicit Truth(bool by_round = true) : by_round_(by_round) {}
  // Of the world: what is first applied when. Without one it is always the beginning.
  void set_clock(std::function<Time()> clock) { clock_ = std::move(clock); }

  // A broken rule; the first one counts.
  void violated(NodeId node, const std::string& text);
  bool broken() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }

  // ---- What the machines show.
  void on_opened(NodeId node, Index applied, uint32_t hash);
  void on_apply(NodeId node, Index index, uint64_t round, consensus::EntryKind kind,
                std::string_view data);
  void on_batch(NodeId node, Index applied, const std::function<uint32_t()>& hash);
  // The members in force there: the newest configuration applied anywhere.
  const std::string& members() const { return members_; }

  // ---- What the clients know.
  // A command its client was told surely not applied: it must never be.
  void surely_not(uint64_t command_fingerprint, const std::string& who);

  uint64_t size() const { return decided_.size(); }  // the highest index applied anywhere
  const Decided* at(Index index) const {
    return index.value == 0 || index.value > decided_.size() ? nullptr : &decided_[index.value - 1];
  }
  // Where a client's command was applied; 0: nowhere yet.
  Index place_of(uint64_t command_fingerprint) const;
  const Model& model() const { return model_; }
  LeaseRules& leases() { return leases_; }
  const LeaseRules& leases() const { return leases_; }
  uint64_t hashes_compared() const { return hashes_compared_; }

 private:
  void decide(NodeId node, uint64_t round, consensus::EntryKind kind, std::string_view data);
  void follow_lease(NodeId node, Index index, const machine::etcd::OpenedCommand& command);
  void compare_hash(NodeId node, Index applied, uint32_t hash);

  bool by_round_;
  std::vector<Decided> decided_;
  std::map<uint64_t, Index> places_;       // of commands, by fingerprint
  std::map<uint64_t, std::string> never_;  // refused commands
  std::map<uint64_t, uint32_t> hashes_;    // by index
  std::map<NodeId, Index> applied_;        // in the present life
  std::string members_;
  Model model_;
  LeaseRules leases_;
  std::function<Time()> clock_;
  std::string violation_;
  uint64_t hashes_compared_ = 0;
};

}  // namespace quorate::sim::full
