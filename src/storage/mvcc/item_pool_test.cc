#include "storage/mvcc/item_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/rng.h"

namespace quorate::storage::mvcc {
namespace {

struct Piece {
  char* memory;
  size_t bytes;
  char mark;
};

bool holds_its_mark(const Piece& piece) {
  for (size_t i = 0; i < piece.bytes; ++i) {
    if (piece.memory[i] != piece.mark) return false;
  }
  return true;
}

// Pieces never overlap, whatever the order of their ends; enough of them for several blocks.
TEST(ItemPool, KeepsEveryPieceToItself) {
  if (!ItemPool::takes(1)) GTEST_SKIP() << "sanitizers allocate each piece by itself";
  ItemPool pool;
  Rng rng(7);
  std::vector<Piece> pieces;
  for (int round = 0; round < 6; ++round) {
    const size_t most = round % 2 == 0 ? 12'000 : 500;
    while (pieces.size() < most) {
      const size_t bytes = 1 + rng.below(ItemPool::kSlotBytesMax);
      auto* memory = static_cast<char*>(pool.allocate(bytes));
      ASSERT_GE(ItemPool::capacity(memory), bytes);
      ASSERT_LT(ItemPool::capacity(memory), bytes + 16);
      const Piece piece{memory, bytes, static_cast<char>(rng.below(256))};
      std::memset(memory, piece.mark, bytes);
      pieces.push_back(piece);
    }
    pool.check_invariants();
    while (pieces.size() > most / 3) {
      std::swap(pieces[rng.below(pieces.size())], pieces.back());
      ASSERT_TRUE(holds_its_mark(pieces.back()));
      pool.release(pieces.back().memory);
      pieces.pop_back();
    }
    pool.check_invariants();
  }
  for (const Piece& piece : pieces) {
    ASSERT_TRUE(holds_its_mark(piece));
    pool.release(piece.memory);
  }
  pool.check_invariants();
}

TEST(ItemPool, LeavesLargePiecesToOthers) {
  EXPECT_FALSE(ItemPool::takes(ItemPool::kSlotBytesMax + 1));
}

TEST(HugeBlock, IsAlignedAndZero) {
  const HugeBlock block;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % HugeBlock::kBytes, 0U);
  for (size_t i = 0; i < HugeBlock::kBytes; i += 4096) EXPECT_EQ(block.data()[i], 0);
}

}  // namespace
}  // namespace quorate::storage::mvcc
