// storage/kv/kv_store.h: an ordered map from bytes to bytes that survives restarts.
//
// RocksDB in production, a plain map in the simulator. Neither keeps a log of its own: a batch
// is atomic and ordered, but after a crash the store may have lost the newest batches (never
// some of an older one and all of a newer). The replicated log brings them back, so the caller
// puts its applied index into the same batch and asks durable_value() how far it can rely on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "world/disk.h"

namespace quorate::storage {

class WriteBatch {  // operations in order; cheap to refill
 public:
  struct Operation {
    bool remove = false;
    size_t key_begin = 0;
    size_t key_size = 0;
    std::string value;
  };
  void put(std::string_view key, std::string_view value) { put(key, std::string(value)); }
  void put(std::string_view key, const char* value) { put(key, std::string(value)); }
  void put(std::string_view key, std::string&& value) { add(false, key, std::move(value)); }
  void remove(std::string_view key) { add(true, key, {}); }
  void clear() {
    operations_.clear();
    keys_.clear();
  }
  bool empty() const { return operations_.empty(); }
  const std::vector<Operation>& operations() const { return operations_; }
  std::string_view key(const Operation& operation) const {
    return std::string_view(keys_).substr(operation.key_begin, operation.key_size);
  }
  // For who is about to clear() it: the value of one operation, without a copy.
  std::string take_value(size_t operation) { return std::move(operations_[operation].value); }

 private:
  void add(bool remove, std::string_view key, std::string&& value) {
    operations_.push_back({remove, keys_.size(), key.size(), std::move(value)});
    keys_.append(key);
  }

  std::vector<Operation> operations_;
  // Of all operations. A row's key is too long to lie in a string without memory of its own, and
  // each member would ask for such memory with each put.
  std::string keys_;
};

// Keys that begin with this byte are few and written again with every batch. A store may keep
// them apart, so that rows written once, in key order, are never rewritten on their account.
inline constexpr char kApartTable = 'm';

// Return false to stop.
using KvVisitor = std::function<bool(std::string_view key, std::string_view value)>;

// One state of a store, whole batches up to some moment, whatever is written afterwards. May be
// read from any thread, by one at a time, and may outlive the store; while it is held, what it
// shows takes space.
class KvView {
 public:
  virtual ~KvView() = default;
  virtual Result<std::optional<std::string>> get(std::string_view key) const = 0;
  // As KvStore::scan().
  virtual Result<void> scan(std::string_view first, std::string_view end,
                            const KvVisitor& visit) const = 0;
};

class KvStore {
 public:
  using Visitor = KvVisitor;

  virtual ~KvStore() = default;
  virtual Result<void> write(const WriteBatch& batch) = 0;
  virtual Result<std::optional<std::string>> get(std::string_view key) const = 0;
  // Ascending over [first, end); an empty end means to the last key.
  virtual Result<void> scan(std::string_view first, std::string_view end,
                            const Visitor& visit) const = 0;
  // The value as it would be after a crash now.
  virtual Result<std::optional<std::string>> durable_value(std::string_view key) const = 0;
  // Asks for everything written so far to be made durable; returns at once.
  virtual void start_flush() = 0;
  // The state now. Cheap: nothing is copied or flushed (the simulator's store does copy).
  virtual std::unique_ptr<const KvView> view() const = 0;
  // A consistent copy of some state at or after now, in a directory that must not exist.
  // Blocking, any thread, concurrently with write().
  virtual Result<void> checkpoint(const std::string& directory) = 0;
  // The value of a key in a finished checkpoint, which is left as it is.
  virtual Result<std::optional<std::string>> value_in_checkpoint(const std::string& directory,
                                                                 std::string_view key) const = 0;
  // Reads the next file again to see whether it is still good; `place` names the one read last,
  // empty at the beginning and again at the end. Bytes read, or what is wrong. Blocking, any
  // thread, concurrently with write().
  virtual Result<uint64_t> verify_next(std::string& place) const = 0;
  // Gives back the room of rows that were removed or replaced. Blocking, any thread, concurrently
  // with write(). A store that keeps nothing but its rows has none to give.
  virtual Result<void> compact() { return {}; }
  virtual uint64_t approximate_bytes() const = 0;
};

Result<std::unique_ptr<KvStore>> open_rocksdb_store(const std::string& directory);
// Keeps everything in memory and saves it through `disk`: an image, and beside it the changes of
// later flushes; a checkpoint is an image, so it can be opened as a store. Starts empty when the
// directory is absent. Its durable state advances only at start_flush(), so that the
// simulator exercises replay.
Result<std::unique_ptr<KvStore>> open_memory_store(world::Disk& disk, const std::string& directory);

}  // namespace quorate::storage
