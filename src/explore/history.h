// explore/history.h: what has happened so far that the rules speak about, and the rules.
//
// Part of a searched state: two clusters that look alike but of which one has lost something are
// not alike. The central record is `chosen`: for each index, the entry first reported committed by
// anyone. Rules return the sentence of what is broken, or nothing.
#pragma once

#include <string>
#include <vector>

#include "consensus/fingerprint.h"
#include "explore/log_image.h"

namespace quorate::explore {

// The configurations that may have decided a commit: in one step a leader may commit and change
// its members, or change them and commit that very change.
struct InForce {
  consensus::Members before;
  consensus::Members at_index;  // in the log, up to what is committed now
  consensus::Members after;
};

class History {
 public:
  // The founding entry is committed by definition.
  static History founded(const LogImage& founder);

  Index chosen() const { return Index{chosen_.size()}; }

  // Election safety: one leader for each round. Leader completeness: it holds everything that was
  // committed in earlier rounds.
  std::string leading(NodeId node, uint64_t round, const LogImage& log);
  // State machine safety, and commits are durable on a quorum of the configuration in force.
  // `disks`: what counts as stored on each node, by id - 1; none: not judged by that.
  std::string committed(NodeId node, Index index, uint64_t round, const LogImage& log,
                        const InForce& in_force, const std::vector<const LogImage*>& disks);
  // Linearizable reads: an answer is at least what anybody knew to be committed when it was asked.
  void read_asked(NodeId node, ReadId id);
  std::string read_answered(NodeId node, ReadId id, Index index);
  void read_refused(ReadId id);
  void crashed(NodeId node);  // its readers are gone

  void fingerprint(consensus::Fingerprint& into) const;

 private:
  struct Chosen {
    uint64_t chain = 0;
    uint64_t round = 0;
    uint64_t sequence = 0;
  };
  struct Lead {
    uint64_t round = 0;
    NodeId node;
  };
  struct Furthest {  // highest index first committed in a round
    uint64_t round = 0;
    Index index;
  };
  struct OpenRead {
    ReadId id;
    NodeId node;
    Index floor;
  };
  std::string choose(const Slot& slot, bool in_slots);
  uint64_t chain_of(Index index) const { return chosen_[index.value - 1].chain; }

  std::vector<Chosen> chosen_;
  std::vector<Lead> leaders_;        // in the order of their election
  std::vector<Furthest> committed_;  // in the order of first commits
  std::vector<OpenRead> reads_;
};

// Slots: in one ballot one value. A prefix, log matching: where two logs hold an entry of the same
// round at the same index, everything up to there is the same.
std::string logs_match(NodeId one, const LogImage& log, NodeId other, const LogImage& other_log);

}  // namespace quorate::explore
