#include "storage/kv/row_buffer.h"

#include <rocksdb/memtablerep.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace quorate::storage {

namespace {

using rocksdb::KeyHandle;
using rocksdb::MemTableRep;
using rocksdb::Slice;

// Entries are where RocksDB put them; this is the order of them. Chunks, since a reader must find
// what it was told of while the writer goes on. Each is twice the one before.
class RowList {
 public:
  size_t size() const { return size_.load(std::memory_order_acquire); }
  const char* at(size_t place) const {
    const Spot spot = spot_of(place);
    return chunks_[spot.chunk][spot.offset];
  }
  // Bytes of the chunk that the next append() needs first; 0: none.
  size_t chunk_needed() const {
    const Spot spot = spot_of(size_.load(std::memory_order_relaxed));
    return spot.offset == 0 ? (kFirstChunk << spot.chunk) * sizeof(const char*) : 0;
  }
  void add_chunk(const char** memory) {
    const Spot spot = spot_of(size_.load(std::memory_order_relaxed));
    CHECK(spot.offset == 0 && spot.chunk < kChunksMax, "a buffer is flushed long before that");
    chunks_[spot.chunk] = memory;
  }
  void append(const char* entry) {
    const size_t place = size_.load(std::memory_order_relaxed);
    const Spot spot = spot_of(place);
    chunks_[spot.chunk][spot.offset] = entry;
    size_.store(place + 1, std::memory_order_release);
  }

 private:
  // 8 KiB of pointers, for a buffer that may stay nearly empty.
  static constexpr size_t kFirstChunk = 1024;
  static constexpr size_t kChunksMax = 32;  // four thousand billion entries
  struct Spot {
    size_t chunk;
    size_t offset;
  };
  static Spot spot_of(size_t place) {
    const size_t shifted = place + kFirstChunk;
    const auto chunk = static_cast<size_t>(std::bit_width(shifted) - std::bit_width(kFirstChunk));
    return {chunk, shifted - (kFirstChunk << chunk)};
  }

  std::atomic<size_t> size_{0};
  std::array<const char**, kChunksMax> chunks_{};
};

class Cursor;

class RowBuffer final : public MemTableRep {
 public:
  RowBuffer(const KeyComparator& compare, rocksdb::Allocator* allocator,
            const rocksdb::SliceTransform* transform, rocksdb::Logger* logger)
      : MemTableRep(allocator),
        compare_(compare),
        late_(rocksdb::SkipListFactory().CreateMemTableRep(compare, allocator, transform, logger)) {
  }

  void Insert(KeyHandle handle) override;
  bool Contains(const char* key) const override;
  size_t ApproximateMemoryUsage() override { return 0; }  // all of it came from the allocator
  void Get(const rocksdb::LookupKey& key, void* arguments,
           bool (*callback)(void* arguments, const char* entry)) override;
  Iterator* GetIterator(rocksdb::Arena* arena) override;
  Iterator* GetDynamicPrefixIterator(rocksdb::Arena* arena) override;

  const RowList& list() const { return list_; }
  // The first place in the list whose entry is not before `key`; `behind`: that is behind it.
  size_t place_of(const Slice& key, bool behind) const;
  int compare(const char* entry, const Slice& key) const { return compare_(entry, key); }
  Slice key_of(const char* entry) const { return compare_.decode_key(entry); }
  // Null while there is nothing.
  std::unique_ptr<Iterator> late() const {
    const bool any = has_late_.load(std::memory_order_acquire);
    return std::unique_ptr<Iterator>(any ? late_->GetIterator(nullptr) : nullptr);
  }
  void give_back(void* slot);

 private:
  struct Slot {
    void* memory;
    bool used;
    std::thread::id last_used_by;
  };
  void insert_late(const char* entry);

  const KeyComparator& compare_;
  RowList list_;
  const char* last_ = nullptr;  // of the list
  const std::unique_ptr<MemTableRep> late_;
  std::atomic<bool> has_late_{false};
  std::mutex slots_mutex_;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<char[]>> slot_memory_;
};

// Both parts as one sequence. Invariant: each part stands at its first entry that is not before
// the current one, so the current one is the lesser of the two.
class Cursor final : public MemTableRep::Iterator {
 public:
  explicit Cursor(const RowBuffer& buffer) : buffer_(buffer) {}
  // In a slot of its buffer.
  Cursor(RowBuffer& buffer, void* slot) : buffer_(buffer), owner_(&buffer), slot_(slot) {}
  ~Cursor() override {
    late_.reset();
    if (owner_ != nullptr) owner_->give_back(slot_);
  }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  // The buffer keeps the memory.
  static void* operator new(size_t /*size*/, void* place) { return place; }
  static void operator delete(void* /*memory*/) {}

  bool Valid() const override { return entry_ != nullptr; }
  const char* key() const override { return entry_; }
  void Next() override {
    if (from_late_) {
      late_->Next();
    } else {
      ++place_;
    }
    choose();
  }
  void Prev() override { step_before(buffer_.key_of(entry_), false); }
  void Seek(const Slice& key, const char* /*encoded*/) override {
    place_ = buffer_.place_of(key, false);
    if (has_late()) late_->Seek(key, nullptr);
    choose();
  }
  void SeekForPrev(const Slice& key, const char* /*encoded*/) override { step_before(key, true); }
  void SeekToFirst() override {
    place_ = 0;
    if (has_late()) late_->SeekToFirst();
    choose();
  }
  void SeekToLast() override {
    place_ = buffer_.list().size();
    if (has_late()) late_->SeekToLast();
    choose_last();
  }

 private:
  bool has_late() {
    if (late_ == nullptr) late_ = buffer_.late();
    return late_ != nullptr;
  }
  bool late_valid() const { return late_ != nullptr && late_->Valid(); }
  void choose() {
    const char* listed = place_ < buffer_.list().size() ? buffer_.list().at(place_) : nullptr;
    from_late_ = late_valid() &&
                 (listed == nullptr || buffer_.compare(listed, buffer_.key_of(late_->key())) > 0);
    entry_ = from_late_ ? late_->key() : listed;
  }
  // To the last entry before `key`; `or_at`: or at it.
  void step_before(const Slice& key, bool or_at) {
    place_ = buffer_.place_of(key, or_at);
    if (has_late()) {
      late_->SeekForPrev(key, nullptr);
      if (!or_at && late_->Valid() && buffer_.compare(late_->key(), key) == 0) late_->Prev();
    }
    choose_last();
  }
  // The list stands behind its candidate, the others at theirs.
  void choose_last() {
    const char* listed = place_ > 0 ? buffer_.list().at(place_ - 1) : nullptr;
    from_late_ = late_valid() &&
                 (listed == nullptr || buffer_.compare(listed, buffer_.key_of(late_->key())) < 0);
    if (from_late_) {
      entry_ = late_->key();
      return;
    }
    entry_ = listed;
    if (listed == nullptr) return;
    --place_;
    if (late_ == nullptr) return;
    if (late_->Valid()) {
      late_->Next();
    } else {
      late_->SeekToFirst();  // all of them are behind
    }
  }

  const RowBuffer& buffer_;
  RowBuffer* owner_ = nullptr;
  void* slot_ = nullptr;
  std::unique_ptr<MemTableRep::Iterator> late_;
  size_t place_ = 0;
  const char* entry_ = nullptr;
  bool from_late_ = false;
};

// What RowBuffer::Get() holds out to the GetDynamicPrefixIterator() below it.
thread_local Cursor* lent = nullptr;

void RowBuffer::Insert(KeyHandle handle) {
  const auto* entry = static_cast<const char*>(handle);
  if (last_ != nullptr && compare_(last_, entry) >= 0) return insert_late(entry);
  if (const size_t needed = list_.chunk_needed(); needed > 0) {
    char* memory = nullptr;
    MemTableRep::Allocate(needed + alignof(const char*), &memory);
    const size_t odd = reinterpret_cast<uintptr_t>(memory) % alignof(const char*);
    if (odd > 0) memory += alignof(const char*) - odd;
    list_.add_chunk(reinterpret_cast<const char**>(memory));
  }
  list_.append(entry);
  last_ = entry;
}

// A skip list takes only what lies in memory of its own.
void RowBuffer::insert_late(const char* entry) {
  const Slice key = compare_.decode_key(entry);
  const char* rest = key.data() + key.size();
  uint32_t value_size = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(*rest++);
    value_size |= static_cast<uint32_t>(byte & 0x7fU) << shift;
    if (byte < 0x80) break;
  }
  const auto size = static_cast<size_t>(rest - entry) + value_size;
  char* memory = nullptr;
  const KeyHandle handle = late_->Allocate(size, &memory);
  std::memcpy(memory, entry, size);
  late_->Insert(handle);
  has_late_.store(true, std::memory_order_release);
}

size_t RowBuffer::place_of(const Slice& key, bool behind) const {
  size_t low = 0;
  size_t high = list_.size();
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const int order = compare_(list_.at(middle), key);
    if (order < 0 || (behind && order == 0)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool RowBuffer::Contains(const char* key) const {
  const Slice wanted = compare_.decode_key(key);
  Cursor cursor(*this);
  cursor.Seek(wanted, nullptr);
  return cursor.Valid() && compare_(cursor.key(), wanted) == 0;
}

// What a LookupKey holds is RocksDB's secret; its own Get() knows, and asks for an iterator that
// it neither destroys nor gives back. So it is lent one.
void RowBuffer::Get(const rocksdb::LookupKey& key, void* arguments,
                    bool (*callback)(void* arguments, const char* entry)) {
  Cursor cursor(*this);
  lent = &cursor;
  MemTableRep::Get(key, arguments, callback);
  CHECK(lent == nullptr, "a look-up asks for one iterator");
}

MemTableRep::Iterator* RowBuffer::GetDynamicPrefixIterator(rocksdb::Arena* arena) {
  if (lent != nullptr) return std::exchange(lent, nullptr);
  return GetIterator(arena);
}

// Iterators should live in the arena, whose type is another secret, and end by their destructor
// alone. So the buffer, which outlives them, keeps their memory. A slot is used again by the thread
// that gave it back only: the destructor that did has not quite ended then.
MemTableRep::Iterator* RowBuffer::GetIterator(rocksdb::Arena* /*arena*/) {
  const std::lock_guard lock(slots_mutex_);
  for (Slot& slot : slots_) {
    if (slot.used || slot.last_used_by != std::this_thread::get_id()) continue;
    slot.used = true;
    return new (slot.memory) Cursor(*this, slot.memory);
  }
  slot_memory_.push_back(std::make_unique<char[]>(sizeof(Cursor)));
  slots_.push_back({slot_memory_.back().get(), true, {}});
  return new (slots_.back().memory) Cursor(*this, slots_.back().memory);
}

void RowBuffer::give_back(void* slot) {
  const std::lock_guard lock(slots_mutex_);
  for (Slot& known : slots_) {
    if (known.memory != slot) continue;
    known.used = false;
    known.last_used_by = std::this_thread::get_id();
  }
}

class RowBuffers final : public rocksdb::MemTableRepFactory {
 public:
  using MemTableRepFactory::CreateMemTableRep;
  MemTableRep* CreateMemTableRep(const MemTableRep::KeyComparator& compare,
                                 rocksdb::Allocator* allocator,
                                 const rocksdb::SliceTransform* transform,
                                 rocksdb::Logger* logger) override {
    return new RowBuffer(compare, allocator, transform, logger);
  }
  const char* Name() const override { return "RowBuffers"; }
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> make_row_buffers() {
  return std::make_shared<RowBuffers>();
}

}  // namespace quorate::storage
