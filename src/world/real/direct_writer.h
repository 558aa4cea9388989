// world/real/direct_writer.h: writes that are durable when they return, past the page cache.
//
// Written and synced through the cache, a page of the log is copied, marked, found again by the
// sync and written from there, and its writer sleeps and is woken once more than here: O_DIRECT
// and O_DSYNC do both in one call (docs/decisions/0029). What the device or the file system does
// not take this way is left to the caller, who writes and syncs as before; so are long writes,
// which have nothing to gain.
//
// Invariant: `durable` is said only of a call that took every byte.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace quorate::world {

class DirectWriter {
 public:
  enum class Outcome : uint8_t { durable, failed /* errno */, not_possible };

  DirectWriter() = default;
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;
  ~DirectWriter();

  // `descriptor`: the same file, open for writing.
  Outcome write(int descriptor, uint64_t offset, std::span<const uint8_t> data);

 private:
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  bool open(int descriptor);
  uint8_t* room(size_t size);

  int descriptor_ = -1;  // of our own: the flags belong to it
  bool refused_ = false;
  std::unique_ptr<uint8_t, Free> buffer_;  // the device reads from aligned memory only
  size_t buffer_size_ = 0;
};

}  // namespace quorate::world
