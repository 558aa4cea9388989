// consensus/fingerprint.h: 128 bits that stand for a state, so that a searcher knows it again.
//
// Two replicas with equal fingerprints must answer every future in the same way; a field that is
// forgotten makes the searcher skip what it has never seen, so raft/fingerprint_test.cc looks for
// such fields. Members count only by the names a Renaming gives them: a state and its mirror image
// under exchanged names have equal fingerprints under exchanged renamings, and what is a set in the
// protocol goes in through a FingerprintSet, whose order does not matter.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "consensus/replicated_log.h"

namespace quorate::consensus {

// A permutation of the ids 1 to kRenamedMax; larger ids keep their names, and so does "none".
class Renaming {
 public:
  static constexpr size_t kRenamedMax = 8;

  Renaming();
  explicit Renaming(std::span<const uint8_t> names);  // names[i] is the new name of node i + 1
  NodeId operator()(NodeId id) const {
    return id.value <= kRenamedMax ? NodeId{names_[id.value]} : id;
  }

 private:
  std::array<uint8_t, kRenamedMax + 1> names_{};
};

class Fingerprint {
 public:
  struct Value {
    uint64_t low = 0;
    uint64_t high = 0;
    auto operator<=>(const Value&) const = default;
  };

  explicit Fingerprint(const Renaming& renaming) : renaming_(&renaming) {}
  Fingerprint fresh() const { return Fingerprint(*renaming_); }  // empty, with the same renaming
  Value value() const;

  void add(uint64_t word);
  void add(bool flag) { add(uint64_t{flag}); }
  void add(NodeId id) { add((*renaming_)(id).value); }
  void add(Index index) { add(index.value); }
  void add(const Ballot& ballot);
  void add(const ProposalId& id);
  void add(const HardState& state);
  void add(std::string_view text);
  void add(const Entry& entry);
  void add(const Members& members);
  void add(const SnapshotMeta& meta);
  void add(const Value& value);
  // The content of a write, not its id.
  void add_content(const Write& write);
  // A configuration as bytes: by its members when it is one, else as text.
  void add_members(const Bytes& encoded);

 private:
  const Renaming* renaming_;
  uint64_t low_ = 0x243f6a8885a308d3ULL;
  uint64_t high_ = 0x13198a2e03707344ULL;
};

// Fingerprints of the elements of a set or bag.
class FingerprintSet {
 public:
  void add(const Fingerprint& element);
  void add_to(Fingerprint& into) const;

 private:
  uint64_t low_ = 0;
  uint64_t high_ = 0;
  uint64_t size_ = 0;
};

// ---- What every core hashes alike.

// How long ago, where beyond `limit` all ages are alike.
uint64_t age(Time now, Time then, Duration limit);
// How long until then; what has passed is all alike, and so is what never comes.
uint64_t distance(Time now, Time then);
// A write by its distance from the newest durable one; all durable ones are alike.
uint64_t pending(WriteId id, WriteId durable);
void add_set(Fingerprint& into, const std::vector<NodeId>& list);  // their order does not matter
// What a step has left to be taken. `add_message` is the protocol's: only it can read a head.
void add_effects(Fingerprint& into, const Ready& ready, WriteId durable,
                 void (*add_message)(const Message&, WriteId durable, Fingerprint& into));

}  // namespace quorate::consensus
