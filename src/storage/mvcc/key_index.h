// storage/mvcc/key_index.h: every key in order, with its newest version at hand.
//
// A B+ tree whose leaves point to items. An item is one block of memory: the revision of the
// newest version, that version's encoded record (so a get is one descent and no look into the
// store) and, rarely, a list of older revisions. Values above a budget are left out of the item
// and read from the store. The invariant: an item's revisions grow, and the newest is inline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
};

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

  KeyIndex() = default;
  ~KeyIndex();
  KeyIndex(const KeyIndex&) = delete;
  KeyIndex& operator=(const KeyIndex&) = delete;

  Item* find(std::string_view key) const;
  Cursor lower_bound(std::string_view key) const;
  // Gives `found` (from find() of the same key, null if absent) a newer version. Items move in
  // memory: pointers to this key's item and views into it are void afterwards.
  void add(Item* found, const NewVersion& version);
  void erase(std::string_view key);
  // Drops older versions that a caller emptied.
  static void forget_older(Item& item);

  uint64_t size() const { return size_; }           // keys, tombstones included
  uint64_t record_bytes() const { return bytes_; }  // held inline
  void check_invariants() const;

 private:
  static constexpr uint32_t kFanout = 64;  // a leaf's pointers fill eight cache lines
  static constexpr uint32_t kDepthMax = 16;
  struct Step {
    Inner* inner;
    uint32_t position;
  };
  struct Path {
    Step steps[kDepthMax];
    uint32_t depth = 0;
  };

  Leaf* descend(std::string_view key, Path* path) const;
  Item** find_slot(std::string_view key) const;
  void insert(Item* item);
  static Leaf* split_leaf(Leaf& leaf, uint32_t keep);
  void insert_above(Path& path, Node* left, std::string_view separator, Node* right);
  void remove_leaf(Path& path, Leaf* leaf);
  static void destroy(Node* node);
  static Item* make_item(const NewVersion& version);
  static void fill_item(Item& item, const NewVersion& version);
  static void free_item(Item* item);

  Node* root_ = nullptr;
  uint64_t size_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace quorate::storage::mvcc
