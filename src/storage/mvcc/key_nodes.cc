#include "storage/mvcc/key_nodes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace quorate::storage::mvcc {

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

// Keys with the same head stand behind the expected one, or it was moved.
uint32_t KeyIndex::Leaf::lower_bound(std::string_view key, uint32_t guess) const {
  return guess < count && items[guess]->key() == key ? guess : lower_bound(key);
}

uint32_t KeyIndex::Inner::child_of(std::string_view key) const {
  const uint32_t last = count - 1;
  if (last == 0) return 0;
  const int order = key.substr(0, shared).compare(common());
  if (order != 0) return order < 0 ? 0 : last;
  const uint64_t head = head_of(key, shared);
  auto position = static_cast<uint32_t>(std::lower_bound(heads, heads + last, head) - heads);
  while (position < last && heads[position] == head && separators[position] <= key) ++position;
  return position;
}

void KeyIndex::Inner::refresh_heads() {
  if (count < 2) return;
  shared = shared_size(separators[0], separators[count - 2]);
  std::memcpy(start, separators[0].data(), std::min<size_t>(shared, Leaf::kStartMax));
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

// Inserts `right` behind the child at `position` of a node with room.
void KeyIndex::Inner::insert(uint32_t position, std::string separator, Node* right) {
  std::copy_backward(children + position + 1, children + count, children + count + 1);
  std::string* first = separators.get();
  std::move_backward(first + position, first + (count - 1), first + count);
  children[position + 1] = right;
  separators[position] = std::move(separator);
  ++count;
  refresh_heads();
}

void KeyIndex::Inner::take_totals() {
  live = 0;
  newest = 0;
  for (uint32_t i = 0; i < count; ++i) {
    live += children[i]->live;
    newest = std::max(newest, children[i]->newest);
  }
}

}  // namespace quorate::storage::mvcc
