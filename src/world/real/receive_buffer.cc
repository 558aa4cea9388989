#include "world/real/receive_buffer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace quorate::world {
namespace {

// One read takes at most this much; larger blocks fall out of the processor's cache.
constexpr size_t kBlockBytes = size_t{256} << 10U;
// A large frame's memory grows by this much beyond what has arrived.
constexpr size_t kGrowthBytes = size_t{1} << 20U;

}  // namespace

std::span<uint8_t> ReceiveBuffer::space() {
  if (large_.has_value()) {
    if (large_filled_ == large_payload_.size()) {
      const size_t size = std::min<size_t>(large_->size, large_filled_ + kGrowthBytes);
      large_payload_.resize(size);
    }
    return {reinterpret_cast<uint8_t*>(large_payload_.data()) + large_filled_,
            large_payload_.size() - large_filled_};
  }
  if (block_ == nullptr) block_ = std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes);
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == kBlockBytes) {
    std::memmove(block_.get(), block_.get() + begin_, waiting());
    end_ = waiting();
    begin_ = 0;
  }
  CHECK(end_ < kBlockBytes, "a frame that fills the block is moved to memory of its own");
  return {block_.get() + end_, kBlockBytes - end_};
}

void ReceiveBuffer::received(size_t bytes) {
  if (large_.has_value()) {
    large_filled_ += bytes;
  } else {
    end_ += bytes;
  }
}

std::optional<std::span<const uint8_t, kHelloBytes>> ReceiveBuffer::take_hello() {
  if (waiting() < kHelloBytes) return std::nullopt;
  const std::span<const uint8_t, kHelloBytes> hello(block_.get() + begin_, kHelloBytes);
  begin_ += kHelloBytes;
  return hello;
}

std::expected<std::optional<Bytes>, WireFault> ReceiveBuffer::take_frame() {
  if (large_.has_value()) return take_large();
  if (waiting() < kFrameHeaderBytes) return std::nullopt;
  const auto header = decode_frame_header(
      std::span<const uint8_t, kFrameHeaderBytes>(block_.get() + begin_, kFrameHeaderBytes));
  if (!header.has_value()) return std::unexpected(header.error());
  if (header->size > kBlockBytes - kFrameHeaderBytes) {
    begin_large(*header);
    return take_large();
  }
  if (waiting() < kFrameHeaderBytes + header->size) return std::nullopt;
  const std::span<const uint8_t> payload(block_.get() + begin_ + kFrameHeaderBytes, header->size);
  if (!frame_intact(*header, payload)) return std::unexpected(WireFault::damaged);
  begin_ += kFrameHeaderBytes + header->size;
  return Bytes(payload);
}

void ReceiveBuffer::begin_large(const FrameHeader& header) {
  large_ = header;
  begin_ += kFrameHeaderBytes;
  CHECK(waiting() < header.size, "only a frame that cannot be whole yet is large");
  large_payload_.assign(reinterpret_cast<const char*>(block_.get() + begin_), waiting());
  large_filled_ = large_payload_.size();
  begin_ = end_ = 0;
}

std::expected<std::optional<Bytes>, WireFault> ReceiveBuffer::take_large() {
  if (large_filled_ < large_->size) return std::nullopt;
  Bytes payload = Bytes::adopt(std::move(large_payload_));
  const bool intact = frame_intact(*large_, payload.span());
  large_.reset();
  large_payload_ = {};
  large_filled_ = 0;
  if (!intact) return std::unexpected(WireFault::damaged);
  return payload;
}

}  // namespace quorate::world
