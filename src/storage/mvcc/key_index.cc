#include "storage/mvcc/key_index.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "storage/mvcc/key_nodes.h"

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kRowSizeBytes = sizeof(uint32_t);

}  // namespace

// The newest version of an item that a reader at `revision` may see; null: none.
std::optional<Version> version_at(const Item& item, int64_t revision) {
  const Version newest = item.newest();
  if (newest.revision.main <= revision) return newest;
  if (item.older() == nullptr) return std::nullopt;
  const std::vector<Version>& older = *item.older();
  const auto after = std::upper_bound(
      older.begin(), older.end(), revision,
      [](int64_t main, const Version& version) { return main < version.revision.main; });
  if (after == older.begin()) return std::nullopt;
  return *(after - 1);
}

Item& KeyIndex::Cursor::item() const { return *leaf_->items[position_]; }

void KeyIndex::Cursor::next() {
  // Items lie anywhere in memory; who walks them should not wait for each.
  constexpr uint32_t kAhead = 4;
  ++position_;
  if (position_ + kAhead < leaf_->count) __builtin_prefetch(leaf_->items[position_ + kAhead]);
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
  if (node->height == 0) {
    auto* leaf = static_cast<Leaf*>(node);
    for (uint32_t i = 0; i < leaf->count; ++i) free_item(leaf->items[i]);
    free_leaf(leaf);
    return;
  }
  auto* inner = static_cast<Inner*>(node);
  for (uint32_t i = 0; i < inner->count; ++i) destroy(inner->children[i]);
  free_inner(inner);
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
  const size_t bytes = sizeof(Item) + version.record.size() + (version.whole ? 0 : kRowSizeBytes);
  const bool pooled = ItemPool::takes(bytes);
  void* memory = pooled ? pool_.allocate(bytes) : std::malloc(bytes);
  CHECK(memory != nullptr, "out of memory");
  auto* item = new (memory) Item;
  item->older_ = nullptr;
  item->grains_ = static_cast<uint8_t>(pooled ? ItemPool::capacity(item) / ItemPool::kGrain : 0);
  fill_item(*item, version);
  return item;
}

void KeyIndex::free_item(Item* item) {
  delete item->older_;
  if (item->grains_ > 0) {
    pool_.release(item);
  } else {
    std::free(item);
  }
}

// How large a record an item could hold where it lies.
size_t KeyIndex::room_of(const Item& item) {
  if (item.grains_ > 0) return item.grains_ * ItemPool::kGrain - sizeof(Item);
  return item.size_ + (item.whole_ ? 0 : kRowSizeBytes);
}

KeyIndex::Leaf* KeyIndex::make_leaf() {
  return ItemPool::takes(sizeof(Leaf)) ? new (pool_.allocate(sizeof(Leaf))) Leaf : new Leaf;
}

void KeyIndex::free_leaf(Leaf* leaf) {
  if (ItemPool::takes(sizeof(Leaf))) {
    pool_.release(leaf);
  } else {
    delete leaf;
  }
}

void KeyIndex::forget_older(Item& item) {
  delete item.older_;
  item.older_ = nullptr;
}

KeyIndex::Inner* KeyIndex::make_inner(uint32_t height) {
  static_assert(sizeof(Inner) <= ItemPool::kSlotBytesMax, "nodes lie in huge pages as well");
  if (!ItemPool::takes(sizeof(Inner))) return new Inner(height);
  return new (pool_.allocate(sizeof(Inner))) Inner(height);
}

void KeyIndex::free_inner(Inner* inner) {
  if (!ItemPool::takes(sizeof(Inner))) {
    delete inner;
    return;
  }
  inner->~Inner();
  pool_.release(inner);
}

KeyIndex::Node* KeyIndex::step_down(Inner& inner, std::string_view key, Path& path) {
  CHECK(path.depth < kDepthMax, "a tree of this fanout cannot be so deep");
  const uint32_t position = inner.child_of(key);
  path.steps[path.depth++] = {&inner, position};
  return inner.children[position];
}

// A leaf is entered without a look at whether it is one: its memory may be far.
KeyIndex::Leaf* KeyIndex::descend(std::string_view key, Path* path) const {
  Node* node = root_;
  if (node == nullptr) return nullptr;
  for (uint32_t height = node->height; height > 0; --height) {
    auto& inner = *static_cast<Inner*>(node);
    node = path != nullptr ? step_down(inner, key, *path) : inner.children[inner.child_of(key)];
  }
  return static_cast<Leaf*>(node);
}

Item* KeyIndex::find(std::string_view key) const {
  const Expected* expected = reads_.take(key);
  const Leaf* leaf = expected != nullptr ? expected->leaf : descend(key, nullptr);
  if (leaf == nullptr) return nullptr;
  const uint32_t position =
      expected != nullptr ? leaf->lower_bound(key, expected->position) : leaf->lower_bound(key);
  const bool found = position < leaf->count && leaf->items[position]->key() == key;
  return found ? leaf->items[position] : nullptr;
}

KeyIndex::Place KeyIndex::locate(std::string_view key) {
  Place place;
  if (const Expected* expected = changes_.take(key)) {
    const Path& path = expected->path;
    std::copy(path.steps, path.steps + path.depth, place.path_.steps);
    place.path_.depth = path.depth;
    place.leaf_ = expected->leaf;
    place.position_ = place.leaf_->lower_bound(key, expected->position);
  } else {
    place.leaf_ = descend(key, &place.path_);
    if (place.leaf_ == nullptr) return place;
    place.position_ = place.leaf_->lower_bound(key);
  }
  if (place.position_ == place.leaf_->count) return place;
  Item* item = place.leaf_->items[place.position_];
  if (item->key() == key) place.item_ = item;
  return place;
}

// ---- Counting.

int64_t KeyIndex::count_below(const Node& node, const std::string_view* first,
                              const std::string_view* end, int64_t revision) {
  if (first == nullptr && end == nullptr && node.newest <= revision) return node.live;
  if (node.height == 0) {
    const auto& leaf = static_cast<const Leaf&>(node);
    return leaf.count_live(first == nullptr ? 0 : leaf.lower_bound(*first),
                           end == nullptr ? leaf.count : leaf.lower_bound(*end), revision);
  }
  const auto& inner = static_cast<const Inner&>(node);
  const uint32_t low = first == nullptr ? 0 : inner.child_of(*first);
  const uint32_t high = end == nullptr ? inner.count - 1 : inner.child_of(*end);
  int64_t found = 0;
  for (uint32_t i = low; i <= high; ++i) {
    found += count_below(*inner.children[i], i == low ? first : nullptr, i == high ? end : nullptr,
                         revision);
  }
  return found;
}

int64_t KeyIndex::count(std::string_view first, const std::string_view* end,
                        int64_t revision) const {
  return root_ == nullptr ? 0 : count_below(*root_, &first, end, revision);
}

// ---- Changing.

KeyIndex::Cursor KeyIndex::lower_bound(std::string_view key) const {
  Cursor cursor;
  cursor.leaf_ = descend(key, nullptr);
  if (cursor.leaf_ == nullptr) return cursor;
  cursor.position_ = cursor.leaf_->lower_bound(key);
  cursor.settle();
  return cursor;
}

void KeyIndex::add(Place& place, const NewVersion& version) {
  const bool live = !version.version.tombstone;
  Item* found = place.item_;
  const bool was_live = found != nullptr && !found->tombstone();
  for (uint32_t depth = 0; depth < place.path_.depth; ++depth) {
    Inner* inner = place.path_.steps[depth].inner;
    inner->live += (live ? 1 : 0) - (was_live ? 1 : 0);
    inner->newest = std::max(inner->newest, version.version.revision.main);
  }
  if (found == nullptr) {
    insert(place, make_item(version));
    return;
  }
  CHECK(found->newest().revision < version.version.revision, "revisions of a key only grow");
  Leaf* leaf = place.leaf_;
  leaf->newest = std::max(leaf->newest, version.version.revision.main);
  if (live != was_live) leaf->set_live(place.position_, live);
  if (found->older_ == nullptr) found->older_ = new std::vector<Version>;
  found->older_->push_back(found->newest());
  bytes_ += version.record.size();
  bytes_ -= found->size_;
  const size_t needed = version.record.size() + (version.whole ? 0 : kRowSizeBytes);
  const size_t room = room_of(*found);
  if (needed <= room && needed * 2 >= room) {
    fill_item(*found, version);
    return;
  }
  Item* item = make_item(version);
  std::swap(item->older_, found->older_);
  leaf->items[place.position_] = item;
  free_item(found);
}

void KeyIndex::insert(Place& place, Item* item) {
  ++size_;
  bytes_ += item->size_;
  Path& path = place.path_;
  Leaf* leaf = place.leaf_;
  if (leaf == nullptr) {
    leaf = make_leaf();
    root_ = leaf;
    ++shape_;
  }
  uint32_t position = place.position_;
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
  if (right == nullptr) return;
  ++shape_;
  insert_above(path, leaf, right->items[0]->key(), right, right->next == nullptr);
}

KeyIndex::Leaf* KeyIndex::split_leaf(Leaf& leaf, uint32_t keep) {
  Leaf* right = make_leaf();
  right->count = leaf.count - keep;
  std::copy(leaf.items + keep, leaf.items + leaf.count, right->items);
  leaf.count = keep;
  right->newest = leaf.newest;
  right->live_items = keep == kFanout ? 0 : leaf.live_items >> keep;
  right->live = std::popcount(right->live_items);
  leaf.live_items &= low_bits(keep);
  leaf.live = std::popcount(leaf.live_items);
  leaf.find_shared();
  right->find_shared();
  right->next = leaf.next;
  right->previous = &leaf;
  if (leaf.next != nullptr) leaf.next->previous = right;
  leaf.next = right;
  return right;
}

// `at_end`: no key is greater than those of `right`.
void KeyIndex::insert_above(Path& path, Node* left, std::string_view separator, Node* right,
                            bool at_end) {
  std::string between(separator);
  while (path.depth > 0) {
    const Step step = path.steps[--path.depth];
    Inner* inner = step.inner;
    if (inner->count < kFanout) return inner->insert(step.position, std::move(between), right);
    Inner* sibling = make_inner(inner->height);
    std::string up;
    if (at_end) {  // as with leaves: keys that arrive in order leave full nodes behind
      sibling->children[0] = right;
      sibling->count = 1;
      up = std::move(between);
    } else {
      // The upper half moves to a new node, its first separator one level up.
      constexpr uint32_t kKeep = kFanout / 2;
      std::copy(inner->children + kKeep, inner->children + kFanout, sibling->children);
      std::string* separators = inner->separators.get();
      std::move(separators + kKeep, separators + (kFanout - 1), sibling->separators.get());
      sibling->count = kFanout - kKeep;
      inner->count = kKeep;
      up = std::move(inner->separators[kKeep - 1]);
      inner->refresh_heads();
      sibling->refresh_heads();
      const bool in_left = step.position < kKeep;
      (in_left ? inner : sibling)
          ->insert(in_left ? step.position : step.position - kKeep, std::move(between), right);
    }
    inner->take_totals();
    sibling->take_totals();
    left = inner;
    right = sibling;
    between = std::move(up);
  }
  CHECK(left == root_, "only a split of the root reaches above it");
  Inner* root = make_inner(left->height + 1);
  root->count = 2;
  root->children[0] = left;
  root->children[1] = right;
  root->separators[0] = std::move(between);
  root->refresh_heads();
  root->take_totals();
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
  if (!item->tombstone()) {
    for (uint32_t depth = 0; depth < path.depth; ++depth) --path.steps[depth].inner->live;
  }
  leaf->erase(position);
  free_item(item);
  if (leaf->count == 0) remove_leaf(path, leaf);
}

// Leaves are removed when empty and never merged: keys that are gone tend to be replaced by new
// ones near by, and a half-empty leaf costs only its pointers.
void KeyIndex::remove_leaf(Path& path, Leaf* leaf) {
  ++shape_;
  if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
  if (leaf->next != nullptr) leaf->next->previous = leaf->previous;
  free_leaf(leaf);
  while (path.depth > 0) {
    const Step step = path.steps[--path.depth];
    Inner* inner = step.inner;
    if (inner->count == 1) {
      free_inner(inner);
      continue;
    }
    const uint32_t separator = step.position == 0 ? 0 : step.position - 1;
    std::copy(inner->children + step.position + 1, inner->children + inner->count,
              inner->children + step.position);
    std::string* separators = inner->separators.get();
    std::move(separators + separator + 1, separators + (inner->count - 1), separators + separator);
    --inner->count;
    inner->separators[inner->count - 1].clear();
    inner->refresh_heads();
    while (root_->height > 0 && root_->count == 1) {
      auto* old = static_cast<Inner*>(root_);
      root_ = old->children[0];
      free_inner(old);
    }
    return;
  }
  root_ = nullptr;
}

void KeyIndex::check_node(const Node& node) {
  int64_t live = 0;
  if (node.height == 0) {
    const auto& leaf = static_cast<const Leaf&>(node);
    for (uint32_t i = 0; i < leaf.count; ++i) {
      const Item& item = *leaf.items[i];
      const bool marked = (leaf.live_items >> i & 1U) != 0;
      CHECK(marked != item.tombstone(), "a leaf knows which of its keys are live");
      CHECK(item.newest().revision.main <= leaf.newest, "a leaf knows how new its keys are");
      live += marked ? 1 : 0;
    }
  } else {
    const auto& inner = static_cast<const Inner&>(node);
    for (uint32_t i = 0; i < inner.count; ++i) {
      check_node(*inner.children[i]);
      CHECK(inner.children[i]->newest <= inner.newest, "a node is as new as those below");
      live += inner.children[i]->live;
    }
  }
  CHECK(live == node.live, "a node counts the live keys below it");
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
  if (root_ != nullptr) check_node(*root_);
  pool_.check_invariants();
}

}  // namespace quorate::storage::mvcc
