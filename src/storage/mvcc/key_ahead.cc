// Looking keys up ahead of time. The memory of a key lies anywhere, each piece known by the one
// before, and a processor that has to wait for each in turn does little else when there are
// millions. So several keys are on their way at once: each call begins with one and takes the
// others a step further, to the piece that was asked for at the call before.
#include <iterator>

#include "storage/mvcc/key_nodes.h"

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kLineBytes = 64;
// Of a large record the first lines; the machine sees by itself that the next ones follow.
constexpr size_t kItemBytesMax = 8 * kLineBytes;

void fetch(const void* from, const void* end) {
  const char* last = static_cast<const char*>(end);
  for (auto* at = static_cast<const char*>(from); at < last; at += kLineBytes) {
    __builtin_prefetch(at);
  }
}

}  // namespace

void KeyIndex::Ahead::begin(Expected& slot, std::string_view key) const {
  slot.shape = 0;
  if (key.size() > kExpectedKeyMax || index.root_ == nullptr) return;
  slot.shape = index.shape_;
  slot.key_size = static_cast<uint32_t>(key.size());
  key.copy(slot.key, key.size());
  slot.path.depth = 0;
  slot.leaf = nullptr;
  slot.steps = 0;
  Node* node = index.root_;
  if (node->height == 0) {
    slot.leaf = static_cast<Leaf*>(node);
    return;
  }
  // The nodes further up are few, and at hand.
  while (node->height > 1) node = step_down(*static_cast<Inner*>(node), key, slot.path);
  auto* inner = static_cast<Inner*>(node);
  slot.path.steps[slot.path.depth++] = {inner, 0};
  fetch(inner, std::end(inner->heads));
}

void KeyIndex::Ahead::choose_child(Expected& slot) {
  slot.steps = 1;
  if (slot.leaf != nullptr) return;
  Step& last = slot.path.steps[slot.path.depth - 1];
  last.position = last.inner->child_of(slot.text());
  __builtin_prefetch(static_cast<const void*>(last.inner->children + last.position));
}

void KeyIndex::Ahead::enter_leaf(Expected& slot) {
  slot.steps = 2;
  if (slot.leaf != nullptr) return;
  const Step& last = slot.path.steps[slot.path.depth - 1];
  slot.leaf = static_cast<Leaf*>(last.inner->children[last.position]);
  fetch(slot.leaf, std::end(slot.leaf->heads));
}

// What follows reads the leaf again at each step: its keys may have moved within it meanwhile.
void KeyIndex::Ahead::choose_item(Expected& slot) {
  slot.steps = 3;
  slot.position = slot.leaf->count == 0 ? 0 : slot.leaf->head_bound(slot.text());
  __builtin_prefetch(static_cast<const void*>(slot.leaf->items + slot.position));
}

const Item* KeyIndex::Ahead::item_of(const Expected& slot) {
  return slot.position < slot.leaf->count ? slot.leaf->items[slot.position] : nullptr;
}

void KeyIndex::Ahead::enter_item(Expected& slot) {
  slot.steps = 4;
  if (const Item* item = item_of(slot)) __builtin_prefetch(item);
}

void KeyIndex::Ahead::fetch_record(Expected& slot) const {
  slot.steps = 5;
  const Item* item = item_of(slot);
  if (item == nullptr) return;
  const char* start = reinterpret_cast<const char*>(item);
  fetch(start + kLineBytes, start + std::min(sizeof(Item) + item->record().size(), kItemBytesMax));
  if (changes && item->older() != nullptr) __builtin_prefetch(item->older());
}

void KeyIndex::Ahead::fetch_history(Expected& slot) {
  slot.steps = 6;
  const Item* item = item_of(slot);
  if (item == nullptr || item->older() == nullptr) return;
  __builtin_prefetch(item->older()->data() + item->older()->size(), 1);
}

KeyIndex::Expected* KeyIndex::Ahead::slot_of(uint64_t call) {
  Expected& slot = slots[call % kExpectedMax];
  return slot.shape == index.shape_ ? &slot : nullptr;
}

void KeyIndex::Ahead::expect(std::string_view key) {
  static_assert(kExpectedMax > 6, "a key keeps its slot until its last step");
  if (Expected* slot = slot_of(called - 6); slot != nullptr && changes) fetch_history(*slot);
  if (Expected* slot = slot_of(called - 5)) fetch_record(*slot);
  if (Expected* slot = slot_of(called - 4)) enter_item(*slot);
  if (Expected* slot = slot_of(called - 3)) choose_item(*slot);
  if (Expected* slot = slot_of(called - 2)) enter_leaf(*slot);
  if (Expected* slot = slot_of(called - 1)) choose_child(*slot);
  begin(slots[called % kExpectedMax], key);
  ++called;
  if (called - taken > kExpectedMax) taken = called - kExpectedMax;
}

const KeyIndex::Expected* KeyIndex::Ahead::take(std::string_view key) {
  for (uint64_t call = taken; call != called; ++call) {
    Expected* slot = slot_of(call);
    if (slot == nullptr || slot->text() != key) continue;
    taken = call + 1;
    if (slot->steps < 1) choose_child(*slot);
    if (slot->steps < 2) enter_leaf(*slot);
    if (slot->steps < 3) choose_item(*slot);
    slot->shape = 0;  // what it was for has begun
    return slot;
  }
  return nullptr;
}

}  // namespace quorate::storage::mvcc
