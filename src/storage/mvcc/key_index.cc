#include "storage/mvcc/key_index.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kRowSizeBytes = sizeof(uint32_t);
// Keys with a longer common beginning are compared with one of their leaf.
constexpr size_t kStartMax = 36;

// As many ones from the low end.
uint64_t low_bits(uint32_t count) { return count >= 64 ? UINT64_MAX : (uint64_t{1} << count) - 1; }

}  // namespace

struct KeyIndex::Node {
  bool leaf;
  uint32_t count = 0;
  int64_t live = 0;    // keys below that are not deleted
  int64_t newest = 0;  // no key below was changed after this revision
};

// A search in a leaf would touch the memory of six items. So a leaf keeps, beside each pointer,
// the eight bytes of its key that follow what all keys of the leaf begin with; most searches
// are decided by these alone.
struct KeyIndex::Leaf : Node {
  Leaf() : Node{true} {}
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
  void insert(uint32_t position, Item* item);
  void erase(uint32_t position);
  void refresh_heads(uint32_t new_shared);
  void find_shared();
  void set_live(uint32_t position, bool now);
  int64_t count_live(uint32_t from, uint32_t to, int64_t revision) const;
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
  void take_totals();    // from the children
};

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
  if (node->leaf) {
    auto* leaf = static_cast<Leaf*>(node);
    for (uint32_t i = 0; i < leaf->count; ++i) free_item(leaf->items[i]);
    free_leaf(leaf);
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
  const size_t bytes = sizeof(Item) + version.record.size() + (version.whole ? 0 : kRowSizeBytes);
  const bool pooled = ItemPool::takes(bytes);
  void* memory = pooled ? pool_.allocate(bytes) : std::malloc(bytes);
  CHECK(memory != nullptr, "out of memory");
  auto* item = new (memory) Item;
  item->older_ = nullptr;
  item->pooled_ = pooled;
  fill_item(*item, version);
  return item;
}

void KeyIndex::free_item(Item* item) {
  delete item->older_;
  if (item->pooled_) {
    pool_.release(item);
  } else {
    std::free(item);
  }
}

// How large a record an item could hold where it lies.
size_t KeyIndex::room_of(const Item& item) {
  if (item.pooled_) return ItemPool::capacity(&item) - sizeof(Item);
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

uint32_t KeyIndex::Leaf::head_bound(std::string_view key) const {
  const int order = key.substr(0, shared).compare(common());
  if (order != 0) return order < 0 ? 0 : count;
  const uint64_t head = head_of(key, shared);
  return static_cast<uint32_t>(std::lower_bound(heads, heads + count, head) - heads);
}

uint32_t KeyIndex::Leaf::lower_bound(std::string_view key) const {
  if (count == 0) return 0;
  uint32_t position = head_bound(key);
  const uint64_t head = head_of(key, shared);
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
  std::memcpy(start, items[0]->key().data(), std::min<size_t>(shared, kStartMax));
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
  const uint64_t below = low_bits(position);
  live_items = (live_items & below) | (live_items & ~below) << 1U;
  ++count;
  newest = std::max(newest, item->newest().revision.main);
  if (!item->tombstone()) set_live(position, true);
  if (count == 1) {
    find_shared();
  } else if (position == 0 || position == count - 1) {
    const uint32_t now = shared_size(items[0]->key(), items[count - 1]->key());
    if (now < shared) refresh_heads(now);
  }
}

void KeyIndex::Leaf::erase(uint32_t position) {
  set_live(position, false);
  const uint64_t below = low_bits(position);
  live_items = (live_items & below) | (live_items >> 1U & ~below);
  std::copy(items + position + 1, items + count, items + position);
  std::copy(heads + position + 1, heads + count, heads + position);
  --count;
}

void KeyIndex::Leaf::set_live(uint32_t position, bool now) {
  const uint64_t bit = uint64_t{1} << position;
  live_items = now ? live_items | bit : live_items & ~bit;
  live = std::popcount(live_items);
}

int64_t KeyIndex::Leaf::count_live(uint32_t from, uint32_t to, int64_t revision) const {
  if (from >= to) return 0;
  if (newest <= revision) return std::popcount(live_items & low_bits(to) & ~low_bits(from));
  int64_t found = 0;
  for (uint32_t i = from; i < to; ++i) {
    const std::optional<Version> version = version_at(*items[i], revision);
    if (version && !version->tombstone) ++found;
  }
  return found;
}

void KeyIndex::Inner::take_totals() {
  live = 0;
  newest = 0;
  for (uint32_t i = 0; i < count; ++i) {
    live += children[i]->live;
    newest = std::max(newest, children[i]->newest);
  }
}

Item* KeyIndex::find(std::string_view key) const {
  const Leaf* leaf = descend(key, nullptr);
  if (leaf == nullptr) return nullptr;
  const uint32_t position = leaf->lower_bound(key);
  const bool found = position < leaf->count && leaf->items[position]->key() == key;
  return found ? leaf->items[position] : nullptr;
}

KeyIndex::Place KeyIndex::locate(std::string_view key) const {
  Place place;
  place.leaf_ = descend(key, &place.path_);
  if (place.leaf_ == nullptr) return place;
  place.position_ = place.leaf_->lower_bound(key);
  if (place.position_ == place.leaf_->count) return place;
  Item* item = place.leaf_->items[place.position_];
  if (item->key() == key) place.item_ = item;
  return place;
}

// ---- Fetching ahead.

const Item* KeyIndex::expected_item(const Expected& expected) const {
  return expected.shape == shape_ ? expected.leaf->items[expected.position] : nullptr;
}

void KeyIndex::expect(std::string_view key) {
  Expected& slot = expected_[next_expected_ % kExpectedMax];
  const Expected& middle = expected_[(next_expected_ + kExpectedMax / 2) % kExpectedMax];
  // What was found four calls ago: the item has come, and where its history is.
  if (const Item* item = expected_item(slot); item != nullptr && item->older() != nullptr) {
    __builtin_prefetch(item->older()->data() + item->older()->size(), 1);
  }
  if (const Item* item = expected_item(middle); item != nullptr && item->older() != nullptr) {
    __builtin_prefetch(item->older());
  }
  ++next_expected_;
  slot.shape = 0;
  Leaf* leaf = descend(key, nullptr);
  if (leaf == nullptr || leaf->count == 0) return;
  const uint32_t position = leaf->head_bound(key);
  if (position == leaf->count) return;
  __builtin_prefetch(leaf->items[position], 1);
  slot = {leaf, position, shape_};
}

// ---- Counting.

int64_t KeyIndex::count_below(const Node& node, const std::string_view* first,
                              const std::string_view* end, int64_t revision) {
  if (first == nullptr && end == nullptr && node.newest <= revision) return node.live;
  if (node.leaf) {
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
  ++shape_;
  bytes_ += item->size_;
  Path& path = place.path_;
  Leaf* leaf = place.leaf_;
  if (leaf == nullptr) {
    leaf = make_leaf();
    root_ = leaf;
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
  if (right != nullptr) insert_above(path, leaf, right->items[0]->key(), right);
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
    inner->take_totals();
    sibling->take_totals();
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
  ++shape_;
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
  if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
  if (leaf->next != nullptr) leaf->next->previous = leaf->previous;
  free_leaf(leaf);
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

void KeyIndex::check_node(const Node& node) {
  int64_t live = 0;
  if (node.leaf) {
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
