// storage/mvcc/key_index.h: every key in order, with its newest version at hand.
//
// A B+ tree whose leaves point to items. An item is one block of memory: the revision of the
// newest version, that version's encoded record (so a get is one descent and no look into the
// store) and, rarely, a list of older revisions. Values above a budget are left out of the item
// and read from the store. Every node knows how many live keys are below it and how new the
// newest of them is, so that keys are counted without looking at them. The invariants: an item's
// revisions grow, and the newest is inline; a node's count is exact, its newest never too low.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/mvcc/item_pool.h"
#include "storage/mvcc/revision.h"

namespace quorate::storage::mvcc {

struct Version {
  Revision revision;
  bool tombstone = false;
  uint32_t row_bytes = 0;  // its record as it is stored, value included
};

// One key. Lives in memory the index allocates; the record follows the header, and behind a record
// without its value the size it has with it.
class Item {
 public:
  std::string_view key() const { return {bytes() + key_offset_, key_size_}; }
  Version newest() const { return {{main_, sub_}, tombstone_, row_bytes()}; }
  bool tombstone() const { return tombstone_; }
  // The newest version's record; without its value unless whole().
  std::string_view record() const { return {bytes(), size_}; }
  bool whole() const { return whole_; }
  // Older versions, oldest first; null when there are none.
  const std::vector<Version>* older() const { return older_; }
  std::vector<Version>* older() { return older_; }

 private:
  friend class KeyIndex;
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  uint32_t row_bytes() const;

  int64_t main_;
  std::vector<Version>* older_;  // owned
  uint32_t sub_;
  uint32_t size_;
  uint32_t key_size_;
  uint8_t key_offset_;
  bool tombstone_;
  bool whole_;
  uint8_t grains_;  // of its slot in the pool; 0: allocated by itself
};

// The newest version of an item that a reader at `revision` may see; null: none.
std::optional<Version> version_at(const Item& item, int64_t revision);

struct NewVersion {
  Version version;
  std::string_view key;     // must lie within `record`
  std::string_view record;  // encoded; without its value unless `whole`
  bool whole = true;
};

class KeyIndex {
  struct Node;
  struct Leaf;
  struct Inner;

 public:
  // Keys that may be expected at once: a step of the look-up each, and one to spare.
  static constexpr uint32_t kExpectedMax = 8;

  // Walks the keys in order. Adding or erasing a key invalidates it; a new version does not.
  class Cursor {
   public:
    bool valid() const { return leaf_ != nullptr; }
    Item& item() const;
    void next();

   private:
    friend class KeyIndex;
    void settle();
    Leaf* leaf_ = nullptr;
    uint32_t position_ = 0;
  };

  // Where a key is, or would be: what add() needs to know. Any change of the index voids it.
  class Place;

  KeyIndex() = default;
  ~KeyIndex();
  KeyIndex(const KeyIndex&) = delete;
  KeyIndex& operator=(const KeyIndex&) = delete;

  Item* find(std::string_view key) const;
  Cursor lower_bound(std::string_view key) const;
  Place locate(std::string_view key);
  // Says that a new version of this key will be added soon, kExpectedMax calls from now, so that
  // its memory is at hand by then and locate() has nothing to look for. Changes nothing but the
  // time it takes.
  void expect(std::string_view key) { changes_.expect(key); }
  // The same of a key that find() will be asked for.
  void expect_find(std::string_view key) const { reads_.expect(key); }
  // Gives the key of this place, which may be new, a newer version. Items move in memory:
  // pointers to this key's item and views into it are void afterwards.
  void add(Place& place, const NewVersion& version);
  void erase(std::string_view key);
  // Live keys from `first`, included, to `end` (null: to the last), as a reader at `revision`
  // sees them. Takes a look at each key that changed since, not at the others.
  int64_t count(std::string_view first, const std::string_view* end, int64_t revision) const;
  // Drops older versions that a caller emptied.
  static void forget_older(Item& item);

  uint64_t size() const { return size_; }           // keys, tombstones included
  uint64_t record_bytes() const { return bytes_; }  // held inline
  void check_invariants() const;

 private:
  static constexpr uint32_t kFanout = 64;  // a leaf's pointers fill eight cache lines
  static constexpr uint32_t kDepthMax = 16;
  static constexpr uint32_t kExpectedKeyMax = 128;  // longer keys are rare, and not expected
  struct Step {
    Inner* inner;
    uint32_t position;
  };
  struct Path {
    Step steps[kDepthMax];  // `depth` of them are set
    uint32_t depth = 0;
  };
  // A key that is expected, and how far the look-up has come (key_ahead.cc).
  struct Expected {
    std::string_view text() const { return {key, key_size}; }
    uint64_t shape = 0;  // void when this is no longer that of the index
    Leaf* leaf = nullptr;
    uint32_t position = 0;
    uint32_t steps = 0;
    uint32_t key_size = 0;
    Path path;
    char key[kExpectedKeyMax];
  };
  struct Ahead {
    void expect(std::string_view key);
    // What is known of the place of an expected key; null: nothing.
    const Expected* take(std::string_view key);

    const KeyIndex& index;
    const bool changes;              // of the keys expected, or only looks at them
    uint64_t called = kExpectedMax;  // calls so far, as if all slots had been used and were void
    uint64_t taken = kExpectedMax;   // those before are taken, or too old
    std::array<Expected, kExpectedMax> slots{};

   private:
    Expected* slot_of(uint64_t call);
    void begin(Expected& slot, std::string_view key) const;
    static void choose_child(Expected& slot);
    static void enter_leaf(Expected& slot);
    static void choose_item(Expected& slot);
    static const Item* item_of(const Expected& slot);
    static void enter_item(Expected& slot);
    void fetch_record(Expected& slot) const;
    static void fetch_history(Expected& slot);
  };

  static Node* step_down(Inner& inner, std::string_view key, Path& path);
  Leaf* descend(std::string_view key, Path* path) const;
  void insert(Place& place, Item* item);
  Leaf* split_leaf(Leaf& leaf, uint32_t keep);
  void insert_above(Path& path, Node* left, std::string_view separator, Node* right, bool at_end);
  void remove_leaf(Path& path, Leaf* leaf);
  static int64_t count_below(const Node& node, const std::string_view* first,
                             const std::string_view* end, int64_t revision);
  static void check_node(const Node& node);
  Leaf* make_leaf();
  void free_leaf(Leaf* leaf);
  Inner* make_inner(uint32_t height);
  void free_inner(Inner* inner);
  void destroy(Node* node);
  Item* make_item(const NewVersion& version);
  static void fill_item(Item& item, const NewVersion& version);
  void free_item(Item* item);
  static size_t room_of(const Item& item);

  ItemPool pool_;
  Node* root_ = nullptr;
  uint64_t size_ = 0;
  uint64_t bytes_ = 0;
  uint64_t shape_ = 1;  // grows whenever a key may belong to another leaf than before
  Ahead changes_{*this, true};
  mutable Ahead reads_{*this, false};
};

class KeyIndex::Place {
 public:
  Item* item() const { return item_; }  // null: the key is not there

 private:
  friend class KeyIndex;
  Place() = default;
  Item* item_ = nullptr;
  Leaf* leaf_ = nullptr;
  uint32_t position_ = 0;
  Path path_;
};

}  // namespace quorate::storage::mvcc
