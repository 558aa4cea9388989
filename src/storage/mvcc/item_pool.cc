#include "storage/mvcc/item_pool.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/check.h"

namespace quorate::storage::mvcc {

namespace {

// Large enough that its header and the rest behind its last slot are below two percent.
constexpr size_t kSlabBytes = size_t{64} << 10U;
constexpr size_t kSlabsPerBlock = HugeBlock::kBytes / kSlabBytes;
// A small store, of which a simulator makes thousands, needs no page of 2 MiB.
constexpr size_t kSlabsAloneMax = 32;

}  // namespace

struct ItemPool::Slab {
  Slab* previous = nullptr;  // of those with room and the same slot size
  Slab* next = nullptr;
  Block* block = nullptr;     // null: allocated by itself
  void* free_slot = nullptr;  // each holds the next
  uint32_t used = 0;          // slots
  uint32_t slot_bytes = 0;
  uint32_t fresh = 0;  // from here on no slot was ever used
  bool listed = false;

  bool has_room() const { return free_slot != nullptr || fresh + slot_bytes <= kSlabBytes; }
};

struct ItemPool::Block {
  HugeBlock memory;
  size_t place = 0;         // in blocks_
  uint32_t slabs_used = 0;  // a bit each
};
static_assert(kSlabsPerBlock == 32, "a block's slabs fill the bits of its mask");

ItemPool::ItemPool() = default;

ItemPool::~ItemPool() {
  // The index has released everything, so one slab of each size may be left.
  for (Slab* slab : with_room_) {
    if (slab == nullptr) continue;
    CHECK(slab->used == 0 && slab->next == nullptr, "what a pool gave out has come back");
    free_slab(slab);
  }
}

ItemPool::Slab* ItemPool::slab_of(const void* slot) {
  const size_t within = reinterpret_cast<uintptr_t>(slot) % kSlabBytes;
  auto* start = const_cast<char*>(static_cast<const char*>(slot)) - within;
  return reinterpret_cast<Slab*>(start);
}

size_t ItemPool::place_of(const Slab& slab) { return slab.slot_bytes / kGrain; }

size_t ItemPool::capacity(const void* slot) { return slab_of(slot)->slot_bytes; }

void ItemPool::link(Slab* slab) {
  Slab*& head = with_room_.at(place_of(*slab));
  slab->previous = nullptr;
  slab->next = head;
  if (head != nullptr) head->previous = slab;
  head = slab;
  slab->listed = true;
}

void ItemPool::unlink(Slab* slab) {
  if (slab->previous != nullptr) {
    slab->previous->next = slab->next;
  } else {
    with_room_.at(place_of(*slab)) = slab->next;
  }
  if (slab->next != nullptr) slab->next->previous = slab->previous;
  slab->listed = false;
}

ItemPool::Block* ItemPool::block_with_room() {
  if (!open_blocks_.empty()) return open_blocks_.back();
  blocks_.push_back(std::make_unique<Block>());
  blocks_.back()->place = blocks_.size() - 1;
  open_blocks_.push_back(blocks_.back().get());
  return open_blocks_.back();
}

ItemPool::Slab* ItemPool::make_slab(size_t slot_bytes) {
  void* memory = nullptr;
  Block* block = nullptr;
  if (slabs_alone_ < kSlabsAloneMax) {
    memory = ::operator new(kSlabBytes, std::align_val_t{kSlabBytes});
    ++slabs_alone_;
  } else {
    block = block_with_room();
    const auto place = static_cast<uint32_t>(std::countr_one(block->slabs_used));
    memory = block->memory.data() + place * kSlabBytes;
    block->slabs_used |= uint32_t{1} << place;
    if (block->slabs_used == UINT32_MAX) open_blocks_.pop_back();
  }
  auto* slab = new (memory) Slab;
  slab->block = block;
  slab->slot_bytes = static_cast<uint32_t>(slot_bytes);
  slab->fresh = (sizeof(Slab) + kGrain - 1) / kGrain * kGrain;
  return slab;
}

void ItemPool::free_slab(Slab* slab) {
  Block* block = slab->block;
  if (block == nullptr) {
    ::operator delete(slab, std::align_val_t{kSlabBytes});
    --slabs_alone_;
    return;
  }
  const size_t place =
      static_cast<size_t>(reinterpret_cast<char*>(slab) - block->memory.data()) / kSlabBytes;
  if (block->slabs_used == UINT32_MAX) open_blocks_.push_back(block);
  block->slabs_used &= ~(uint32_t{1} << place);
  // The one that stays spares a store at the border of a block from making it again and again.
  if (block->slabs_used != 0 || open_blocks_.size() == 1) return;
  std::erase(open_blocks_, block);
  blocks_.back()->place = block->place;
  std::swap(blocks_[block->place], blocks_.back());
  blocks_.pop_back();
}

void* ItemPool::allocate(size_t bytes) {
  CHECK(takes(bytes), "larger pieces are not the pool's");
  const size_t slot_bytes = std::max(kGrain, (bytes + kGrain - 1) / kGrain * kGrain);
  Slab* slab = with_room_[slot_bytes / kGrain];
  if (slab == nullptr) {
    slab = make_slab(slot_bytes);
    link(slab);
  }
  void* slot = slab->free_slot;
  if (slot != nullptr) {
    slab->free_slot = *static_cast<void**>(slot);
  } else {
    slot = reinterpret_cast<char*>(slab) + slab->fresh;
    slab->fresh += slab->slot_bytes;
  }
  ++slab->used;
  if (!slab->has_room()) unlink(slab);
  return slot;
}

void ItemPool::release(void* slot) {
  Slab* slab = slab_of(slot);
  CHECK(slab->used > 0, "a slot is released once");
  *static_cast<void**>(slot) = slab->free_slot;
  slab->free_slot = slot;
  --slab->used;
  if (!slab->listed) link(slab);
  if (slab->used > 0) return;
  const bool only_one = slab->previous == nullptr && slab->next == nullptr;
  if (only_one) return;
  unlink(slab);
  free_slab(slab);
}

void ItemPool::check_invariants() const {
  for (size_t place = 0; place < with_room_.size(); ++place) {
    for (const Slab* slab = with_room_[place]; slab != nullptr; slab = slab->next) {
      CHECK(slab->listed && slab->has_room(), "a slab in the list has room");
      CHECK(place_of(*slab) == place, "a slab is in the list of its size");
      CHECK(slab->next == nullptr || slab->next->previous == slab, "the list can be walked back");
    }
  }
  for (const Block* block : open_blocks_) {
    CHECK(block->slabs_used != UINT32_MAX, "an open block has room for a slab");
    CHECK(blocks_[block->place].get() == block, "a block knows its place");
  }
}

}  // namespace quorate::storage::mvcc
