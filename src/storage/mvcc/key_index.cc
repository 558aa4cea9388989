#include "storage/mvcc/key_index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kRowSizeBytes = sizeof(uint32_t);

}  // namespace

struct KeyIndex::Node {
  bool leaf;
  uint32_t count = 0;
};

// A search in a leaf would touch the memory of six items. So a leaf keeps, beside each pointer,
// the eight bytes of its key that follow what all keys of the leaf begin with; most searches
// are decided by these alone.
struct KeyIndex::Leaf : Node {
  Leaf() : Node{true} {}
  uint32_t shared = 0;  // every key of the leaf begins with the same `shared` bytes
  Leaf* previous = nullptr;
  Leaf* next = nullptr;
  uint64_t heads[kFanout];
  Item* items[kFanout];

  uint32_t lower_bound(std::string_view key) const;
  void insert(uint32_t position, Item* item);
  void refresh_heads(uint32_t new_shared);
  void find_shared();
};

// Child i holds the keys from separators[i - 1] (included) to separators[i]. Heads as in a leaf.
struct KeyIndex::Inner : Node {
  Inner() : Node{false} {}
  uint32_t shared = 0;
  uint64_t heads[kFanout - 1];
  Node* children[kFanout];
  std::string separators[kFanout - 1];

  uint32_t child_of(std::string_view key) const;
  void refresh_heads();  // after any change of the separators, which is rare
};

Item& KeyIndex::Cursor::item() const { return *leaf_->items[position_]; }

void KeyIndex::Cursor::next() {
  ++position_;
  settle();
}

void KeyIndex::Cursor::settle() {
  if (leaf_ != nullptr && position_ >= leaf_->count) {
    leaf_ = leaf_->next;  // leaves are never empty
    position_ = 0;
  }
}

KeyIndex::~KeyIndex() { destroy(root_); }

void KeyIndex::destroy(Node* node) {
  if (node == nullptr) return;
  if (node->leaf) {
    auto* leaf = static_cast<Leaf*>(node);
    for (uint32_t i = 0; i < leaf->count; ++i) free_item(leaf->items[i]);
    delete leaf;
    return;
  }
  auto* inner = static_cast<Inner*>(node);
  for (uint32_t i = 0; i < inner->count; ++i) destroy(inner->children[i]);
  delete inner;
}

uint32_t Item::row_bytes() const {
  if (whole_) return size_;
  uint32_t stored = 0;
  std::memcpy(&stored, bytes() + size_, sizeof(stored));
  return stored;
}

void KeyIndex::fill_item(Item& item, const NewVersion& version) {
  const auto offset = static_cast<size_t>(version.key.data() - version.record.data());
  CHECK(offset + version.key.size() <= version.record.size() && offset <= UINT8_MAX,
        "the key must lie near the front of its record");
  CHECK(version.record.size() <= UINT32_MAX, "a record is no larger than a request");
  CHECK(version.version.revision.sub >= 0 && version.version.revision.sub <= UINT32_MAX,
        "one transaction cannot change four billion keys");
  item.main_ = version.version.revision.main;
  item.sub_ = static_cast<uint32_t>(version.version.revision.sub);
  item.tombstone_ = version.version.tombstone;
  item.whole_ = version.whole;
  item.size_ = static_cast<uint32_t>(version.record.size());
  item.key_size_ = static_cast<uint32_t>(version.key.size());
  item.key_offset_ = static_cast<uint8_t>(offset);
  std::memcpy(item.bytes(), version.record.data(), version.record.size());
  if (version.whole) return;
  std::memcpy(item.bytes() + item.size_, &version.version.row_bytes, kRowSizeBytes);
}

Item* KeyIndex::make_item(const NewVersion& version) {
  const size_t behind = version.whole ? 0 : kRowSizeBytes;
  void* memory = std::malloc(sizeof(Item) + version.record.size() + behind);
  CHECK(memory != nullptr, "out of memory");
  auto* item = new (memory) Item;
  item->older_ = nullptr;
  fill_item(*item, version);
  return item;
}

void KeyIndex::free_item(Item* item) {
  delete item->older_;
  std::free(item);
}

void KeyIndex::forget_older(Item& item) {
  delete item.older_;
  item.older_ = nullptr;
}

KeyIndex::Leaf* KeyIndex::descend(std::string_view key, Path* path) const {
  Node* node = root_;
  while (node != nullptr && !node->leaf) {
    auto* inner = static_cast<Inner*>(node);
    const uint32_t position = inner->child_of(key);
    if (path != nullptr) {
      CHECK(path->depth < kDepthMax, "a tree of this fanout cannot be so deep");
      path->steps[path->depth++] = {inner, position};
    }
    node = inner->children[position];
  }
  return static_cast<Leaf*>(node);
}

namespace {

// Eight bytes as a number that sorts like them; bytes behind the end count as zero, so equal
// heads do not mean equal keys.
uint64_t head_of(std::string_view key, size_t from) {
  uint64_t head = 0;
  const size_t size = key.size() > from ? std::min<size_t>(key.size() - from, 8) : 0;
  if (size > 0) std::memcpy(&head, key.data() + from, size);
  return __builtin_bswap64(head);
}

uint32_t shared_size(std::string_view left, std::string_view right) {
  const size_t most = std::min(left.size(), right.size());
  size_t size = 0;
  while (size < most && left[size] == right[size]) ++size;
  return static_cast<uint32_t>(size);
}

}  // namespace

uint32_t KeyIndex::Leaf::lower_bound(std::string_view key) const {
  if (count == 0) return 0;
  const std::string_view start = items[0]->key().substr(0, shared);
  const int order = key.substr(0, shared).compare(start);
  if (order != 0) return order < 0 ? 0 : count;
  const uint64_t head = head_of(key, shared);
  auto position = static_cast<uint32_t>(std::lower_bound(heads, heads + count, head) - heads);
  while (position < count && heads[position] == head && items[position]->key() < key) ++position;
  return position;
}

uint32_t KeyIndex::Inner::child_of(std::string_view key) const {
  const uint32_t last = count - 1;
  if (last == 0) return 0;
  const std::string_view start = std::string_view(separators[0]).substr(0, shared);
  const int order = key.substr(0, shared).compare(start);
  if (order != 0) return order < 0 ? 0 : last;
  const uint64_t head = head_of(key, shared);
  auto position = static_cast<uint32_t>(std::lower_bound(heads, heads + last, head) - heads);
  while (position < last && heads[position] == head && separators[position] <= key) ++position;
  return position;
}

void KeyIndex::Inner::refresh_heads() {
  if (count < 2) return;
  shared = shared_size(separators[0], separators[count - 2]);
  for (uint32_t i = 0; i + 1 < count; ++i) heads[i] = head_of(separators[i], shared);
}

void KeyIndex::Leaf::refresh_heads(uint32_t new_shared) {
  shared = new_shared;
  for (uint32_t i = 0; i < count; ++i) heads[i] = head_of(items[i]->key(), shared);
}

// Keys are in order: what the first and the last begin with, all between begin with.
void KeyIndex::Leaf::find_shared() {
  if (count > 0) refresh_heads(shared_size(items[0]->key(), items[count - 1]->key()));
}

void KeyIndex::Leaf::insert(uint32_t position, Item* item) {
  std::copy_backward(items + position, items + count, items + count + 1);
  std::copy_backward(heads + position, heads + count, heads + count + 1);
  items[position] = item;
  heads[position] = head_of(item->key(), shared);
  ++count;
  if (count == 1) {
    find_shared();
  } else if (position == 0 || position == count - 1) {
    const uint32_t now = shared_size(items[0]->key(), items[count - 1]->key());
    if (now < shared) refresh_heads(now);
  }
}

Item** KeyIndex::find_slot(std::string_view key) const {
  Leaf* leaf = descend(key, nullptr);
  if (leaf == nullptr) return nullptr;
  const uint32_t position = leaf->lower_bound(key);
  const bool found = position < leaf->count && leaf->items[position]->key() == key;
  return found ? leaf->items + position : nullptr;
}

Item* KeyIndex::find(std::string_view key) const {
  Item** slot = find_slot(key);
  return slot == nullptr ? nullptr : *slot;
}

KeyIndex::Cursor KeyIndex::lower_bound(std::string_view key) const {
  Cursor cursor;
  cursor.leaf_ = descend(key, nullptr);
  if (cursor.leaf_ == nullptr) return cursor;
  cursor.position_ = cursor.leaf_->lower_bound(key);
  cursor.settle();
  return cursor;
}

void KeyIndex::add(Item* found, const NewVersion& version) {
  if (found == nullptr) {
    insert(make_item(version));
    return;
  }
  CHECK(found->newest().revision < version.version.revision, "revisions of a key only grow");
  if (found->older_ == nullptr) found->older_ = new std::vector<Version>;
  found->older_->push_back(found->newest());
  bytes_ += version.record.size();
  bytes_ -= found->size_;
  const size_t needed = version.record.size() + (version.whole ? 0 : kRowSizeBytes);
  if (needed <= found->size_ && needed * 2 >= found->size_) {
    fill_item(*found, version);
    return;
  }
  Item** slot = find_slot(version.key);
  CHECK(slot != nullptr && *slot == found, "the item given is the key's own");
  Item* item = make_item(version);
  std::swap(item->older_, found->older_);
  *slot = item;
  free_item(found);
}

void KeyIndex::insert(Item* item) {
  const std::string_view key = item->key();
  ++size_;
  bytes_ += item->size_;
  Path path;
  Leaf* leaf = descend(key, &path);
  if (leaf == nullptr) {
    leaf = new Leaf;
    root_ = leaf;
  }
  uint32_t position = leaf->lower_bound(key);
  CHECK(position == leaf->count || leaf->items[position]->key() != key, "a key is inserted once");
  Leaf* target = leaf;
  Leaf* right = nullptr;
  if (leaf->count == kFanout) {
    // Keys often arrive in order: then the full leaf is left full and a new one begun.
    const uint32_t keep = position == kFanout && leaf->next == nullptr ? kFanout : kFanout / 2;
    right = split_leaf(*leaf, keep);
    if (position > keep || keep == kFanout) {
      target = right;
      position -= keep;
    }
  }
  target->insert(position, item);
  if (right != nullptr) insert_above(path, leaf, right->items[0]->key(), right);
}

KeyIndex::Leaf* KeyIndex::split_leaf(Leaf& leaf, uint32_t keep) {
  auto* right = new Leaf;
  right->count = leaf.count - keep;
  std::copy(leaf.items + keep, leaf.items + leaf.count, right->items);
  leaf.count = keep;
  leaf.find_shared();
  right->find_shared();
  right->next = leaf.next;
  right->previous = &leaf;
  if (leaf.next != nullptr) leaf.next->previous = right;
  leaf.next = right;
  return right;
}

void KeyIndex::insert_above(Path& path, Node* left, std::string_view separator, Node* right) {
  std::string between(separator);
  while (path.depth > 0) {
    const Step step = path.steps[--path.depth];
    Inner* inner = step.inner;
    if (inner->count < kFanout) {
      std::copy_backward(inner->children + step.position + 1, inner->children + inner->count,
                         inner->children + inner->count + 1);
      std::move_backward(inner->separators + step.position, inner->separators + (inner->count - 1),
                         inner->separators + inner->count);
      inner->children[step.position + 1] = right;
      inner->separators[step.position] = std::move(between);
      ++inner->count;
      inner->refresh_heads();
      return;
    }
    // Full: the upper half moves to a new node, its first separator one level up.
    auto* sibling = new Inner;
    constexpr uint32_t kKeep = kFanout / 2;
    std::copy(inner->children + kKeep, inner->children + kFanout, sibling->children);
    std::move(inner->separators + kKeep, inner->separators + (kFanout - 1), sibling->separators);
    sibling->count = kFanout - kKeep;
    inner->count = kKeep;
    std::string up = std::move(inner->separators[kKeep - 1]);
    inner->refresh_heads();
    sibling->refresh_heads();
    const bool in_left = step.position < kKeep;
    Path local;
    local.steps[local.depth++] = {in_left ? inner : sibling,
                                  in_left ? step.position : step.position - kKeep};
    insert_above(local, left, between, right);
    left = inner;
    right = sibling;
    between = std::move(up);
  }
  CHECK(left == root_, "only a split of the root reaches above it");
  auto* root = new Inner;
  root->count = 2;
  root->children[0] = left;
  root->children[1] = right;
  root->separators[0] = std::move(between);
  root->refresh_heads();
  root_ = root;
}

void KeyIndex::erase(std::string_view key) {
  Path path;
  Leaf* leaf = descend(key, &path);
  CHECK(leaf != nullptr, "only present keys are erased");
  const uint32_t position = leaf->lower_bound(key);
  CHECK(position < leaf->count && leaf->items[position]->key() == key,
        "only present keys are erased");
  Item* item = leaf->items[position];
  --size_;
  bytes_ -= item->size_;
  std::copy(leaf->items + position + 1, leaf->items + leaf->count, leaf->items + position);
  std::copy(leaf->heads + position + 1, leaf->heads + leaf->count, leaf->heads + position);
  --leaf->count;
  free_item(item);
  if (leaf->count == 0) remove_leaf(path, leaf);
}

// Leaves are removed when empty and never merged: keys that are gone tend to be replaced by new
// ones near by, and a half-empty leaf costs only its pointers.
void KeyIndex::remove_leaf(Path& path, Leaf* leaf) {
  if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
  if (leaf->next != nullptr) leaf->next->previous = leaf->previous;
  delete leaf;
  while (path.depth > 0) {
    const Step step = path.steps[--path.depth];
    Inner* inner = step.inner;
    if (inner->count == 1) {
      delete inner;
      continue;
    }
    const uint32_t separator = step.position == 0 ? 0 : step.position - 1;
    std::copy(inner->children + step.position + 1, inner->children + inner->count,
              inner->children + step.position);
    std::move(inner->separators + separator + 1, inner->separators + (inner->count - 1),
              inner->separators + separator);
    --inner->count;
    inner->separators[inner->count - 1].clear();
    inner->refresh_heads();
    while (!root_->leaf && root_->count == 1) {
      auto* old = static_cast<Inner*>(root_);
      root_ = old->children[0];
      delete old;
    }
    return;
  }
  root_ = nullptr;
}

void KeyIndex::check_invariants() const {
  uint64_t keys = 0;
  uint64_t bytes = 0;
  const Item* before = nullptr;
  for (Cursor cursor = lower_bound({}); cursor.valid(); cursor.next()) {
    const Item& item = cursor.item();
    CHECK(before == nullptr || before->key() < item.key(), "keys ascend");
    CHECK(find(item.key()) == &item, "every key is found where it lies");
    CHECK(item.older_ == nullptr || !item.older_->empty(), "an empty history is dropped");
    if (item.older_ != nullptr) {
      Revision last;
      for (const Version& version : *item.older_) {
        CHECK(last < version.revision, "revisions of a key ascend");
        last = version.revision;
      }
      CHECK(last < item.newest().revision, "the newest version is inline");
    }
    ++keys;
    bytes += item.size_;
    before = &item;
  }
  CHECK(keys == size_, "the index counts its keys");
  CHECK(bytes == bytes_, "the index counts its bytes");
}

}  // namespace quorate::storage::mvcc
