// storage/mvcc/key_nodes.h: the nodes of the key index. For its own files only.
//
// What a search touches lies together: with millions of keys each line of memory is a wait.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "storage/mvcc/key_index.h"

namespace quorate::storage::mvcc {

struct KeyIndex::Node {
  uint32_t height;  // 0: a leaf
  uint32_t count = 0;
  int64_t live = 0;    // keys below that are not deleted
  int64_t newest = 0;  // no key below was changed after this revision
};

// A search in a leaf would touch the memory of six items. So a leaf keeps, beside each pointer,
// the eight bytes of its key that follow what all keys of the leaf begin with; most searches
// are decided by these alone.
struct KeyIndex::Leaf : Node {
  // Keys with a longer common beginning are compared with one of their node. With the rest of what
  // stands in front this fills a line of memory.
  static constexpr size_t kStartMax = 36;

  Leaf() : Node{0} {}
  uint32_t shared = 0;    // every key of the leaf begins with the same `shared` bytes
  char start[kStartMax];  // these, or as many of them as have room
  Leaf* previous = nullptr;
  Leaf* next = nullptr;
  uint64_t live_items = 0;  // a bit for each of `items`
  uint64_t heads[kFanout];
  Item* items[kFanout];

  std::string_view common() const {
    return shared <= kStartMax ? std::string_view(start, shared)
                               : items[0]->key().substr(0, shared);
  }
  uint32_t head_bound(std::string_view key) const;  // the first that may be `key`
  uint32_t lower_bound(std::string_view key) const;
  // The same where the key is expected at `guess`.
  uint32_t lower_bound(std::string_view key, uint32_t guess) const;
  void insert(uint32_t position, Item* item);
  void erase(uint32_t position);
  void refresh_heads(uint32_t new_shared);
  void find_shared();
  void set_live(uint32_t position, bool now);
  int64_t count_live(uint32_t from, uint32_t to, int64_t revision) const;
};

// Child i holds the keys from separators[i - 1] (included) to separators[i]. The rest as in a leaf.
// The separators themselves are rarely looked at, so they lie elsewhere.
struct KeyIndex::Inner : Node {
  explicit Inner(uint32_t the_height)
      : Node{the_height}, separators(std::make_unique<std::string[]>(kFanout - 1)) {}
  uint32_t shared = 0;
  char start[Leaf::kStartMax];
  uint64_t heads[kFanout - 1];
  Node* children[kFanout];
  std::unique_ptr<std::string[]> separators;

  std::string_view common() const {
    return shared <= Leaf::kStartMax ? std::string_view(start, shared)
                                     : std::string_view(separators[0]).substr(0, shared);
  }
  uint32_t child_of(std::string_view key) const;
  void insert(uint32_t position, std::string separator, Node* right);  // there is room
  void refresh_heads();  // after any change of the separators, which is rare
  void take_totals();    // from the children
};

// As many ones from the low end.
inline uint64_t low_bits(uint32_t count) {
  return count >= 64 ? UINT64_MAX : (uint64_t{1} << count) - 1;
}

}  // namespace quorate::storage::mvcc
