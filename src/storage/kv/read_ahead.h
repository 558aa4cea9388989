// storage/kv/read_ahead.h: the rows of a long scan, read by a thread of their own.
//
// A member that starts reads every row, and what it does with a row costs about as much as reading
// it: two threads halve that. Rows travel in blocks, a few of which lie between the two threads.
// Invariant: `fill` is called by one thread at a time, and never again once this object is gone.
#pragma once

#include <array>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "storage/kv/kv_store.h"

namespace quorate::storage {

// A row costs a few hundred nanoseconds, a handover some microseconds.
inline constexpr size_t kRowBlockBytes = size_t{256} << 10U;
// One that is read, one that is filled, and two that even out their paces.
inline constexpr size_t kRowBlocksMax = 4;

class RowBlock {
 public:
  bool full() const { return bytes_.size() >= kRowBlockBytes; }
  void clear() { bytes_.clear(); }
  void add(std::string_view key, std::string_view value);
  bool visit(const KvVisitor& visit) const;  // false: the visitor had enough

 private:
  std::string bytes_;
};

class ReadAhead {
 public:
  using Fill = std::function<bool(RowBlock&)>;  // false: this block is the last

  explicit ReadAhead(Fill fill);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Null: that was the last. Valid until the next call.
  const RowBlock* next();

 private:
  void run();

  Fill fill_;
  std::array<RowBlock, kRowBlocksMax> blocks_;  // used in turn
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t filled_ = 0;  // blocks so far
  size_t taken_ = 0;
  size_t given_back_ = 0;
  bool ended_ = false;  // nothing comes after filled_
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace quorate::storage
