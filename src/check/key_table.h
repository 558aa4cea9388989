// check/key_table.h: every key that a history could bring into being, in the order of the keys.
//
// A rank is a key's place in that order, so a range of keys is a run of ranks and a store can be a
// plain array. Keys that nothing writes have no rank: they are absent for ever.
#pragma once

#include <cstdint>
#include <vector>

#include "check/history.h"

namespace quorate::check {

using Rank = uint32_t;
inline constexpr Rank kNoRank = ~Rank{0};

struct RankRange {
  Rank first = 0;
  Rank end = 0;  // not included
  bool holds(Rank rank) const { return rank >= first && rank < end; }
};

class KeyTable {
 public:
  explicit KeyTable(const History& history);
  size_t size() const { return keys_.size(); }
  Rank rank(TextId key) const { return ranks_[key]; }
  TextId key(Rank rank) const { return keys_[rank]; }
  // As etcd names ranges: see Request::end.
  RankRange range(TextId key, TextId end) const;

 private:
  Rank first_not_below(TextId text) const;

  const History& history_;
  std::vector<TextId> keys_;  // by rank
  std::vector<Rank> ranks_;   // by text
};

}  // namespace quorate::check
