// storage/mvcc/item_pool.h: memory for the many small pieces of the key index.
//
// A general allocator keeps few sizes and rounds a piece up by an eighth on average; with a
// million keys that is fifty megabytes. Here sizes are sixteen bytes apart. Slots of one size lie
// together in slabs, slabs in huge blocks once there are many. The invariants: a slab with a free
// slot is in the list of its size; slabs and blocks that are empty go back, but for one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/huge_block.h"

namespace quorate::storage::mvcc {

class ItemPool {
 public:
  // Larger pieces are few and go to the general allocator.
  static constexpr size_t kSlotBytesMax = 1280;
  static constexpr size_t kGrain = 16;

  ItemPool();
  ~ItemPool();
  ItemPool(const ItemPool&) = delete;
  ItemPool& operator=(const ItemPool&) = delete;

  static bool takes(size_t bytes) { return kPooling && bytes <= kSlotBytesMax; }
  void* allocate(size_t bytes);  // which takes() must allow
  void release(void* slot);
  // What a slot can hold, in whole grains, which may be a little more than was asked for.
  static size_t capacity(const void* slot);
  void check_invariants() const;

 private:
  struct Slab;
  struct Block;
  // A sanitizer sees a piece used after its end only if each is allocated by itself.
#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool kPooling = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  static constexpr bool kPooling = false;
#else
  static constexpr bool kPooling = true;
#endif
#else
  static constexpr bool kPooling = true;
#endif
  static constexpr size_t kSizes = kSlotBytesMax / kGrain + 1;

  static Slab* slab_of(const void* slot);
  static size_t place_of(const Slab& slab);
  Slab* make_slab(size_t slot_bytes);
  void free_slab(Slab* slab);
  void link(Slab* slab);
  void unlink(Slab* slab);
  Block* block_with_room();

  std::array<Slab*, kSizes> with_room_{};  // by size: slabs with a free slot
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Block*> open_blocks_;  // with room for a slab
  size_t slabs_alone_ = 0;           // those in no block
};

}  // namespace quorate::storage::mvcc
