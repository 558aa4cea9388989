// base/bytes.h: Bytes, the one thing rooms share: an immutable, reference-counted run of bytes.
//
// Copying a Bytes copies a pointer; a slice keeps the whole buffer alive. Because nobody can
// write through it, the same command may sit in the log's tail, in a disk job and in two sockets
// at once. The count is atomic since the disk thread drops its references by itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace quorate {

class Bytes {
 public:
  Bytes() = default;
  // Copies `text`.
  explicit Bytes(std::string_view text);
  explicit Bytes(std::span<const uint8_t> data);
  // Takes over a string's buffer without copying it (use for large values built up in a string).
  static Bytes adopt(std::string&& text);

  Bytes(const Bytes& other) noexcept
      : owner_(other.owner_), data_(other.data_), size_(other.size_) {
    if (owner_ != nullptr) owner_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Bytes(Bytes&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Bytes() {
    if (owner_ != nullptr && owner_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      destroy(owner_);
    }
  }

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  std::span<const uint8_t> span() const { return {data_, size_}; }
  std::string str() const { return std::string(view()); }
  // Shares this buffer; offset + count must lie within it.
  Bytes slice(size_t offset, size_t count) const;

  bool operator==(const Bytes& other) const { return view() == other.view(); }

 private:
  struct Owner {
    std::atomic<uint32_t> references{1};
    std::string text;  // empty when the bytes follow this header in the same allocation
  };
  static void destroy(Owner* owner);

  Owner* owner_ = nullptr;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace quorate
