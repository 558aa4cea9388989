#include "world/real/receive_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

// One read takes at most this much; larger blocks fall out of the processor's cache.
constexpr size_t kBlockBytes = size_t{256} << 10U;
static_assert(kBlockBytes > kFrameHeaderBytes + kPieceBytesMax);

}  // namespace

std::span<uint8_t> ReceiveBuffer::space() {
  if (block_ == nullptr) block_ = std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes);
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == kBlockBytes) {
    std::memmove(block_.get(), block_.get() + begin_, waiting());
    end_ = waiting();
    begin_ = 0;
  }
  CHECK(end_ < kBlockBytes, "the block holds more than the longest piece");
  return {block_.get() + end_, kBlockBytes - end_};
}

void ReceiveBuffer::received(size_t bytes) { end_ += bytes; }

std::optional<std::span<const uint8_t, kHelloBytes>> ReceiveBuffer::take_hello() {
  if (waiting() < kHelloBytes) return std::nullopt;
  const std::span<const uint8_t, kHelloBytes> hello(block_.get() + begin_, kHelloBytes);
  begin_ += kHelloBytes;
  return hello;
}

std::expected<std::optional<Bytes>, WireFault> ReceiveBuffer::take_frame() {
  while (waiting() >= kFrameHeaderBytes) {
    const auto header = decode_frame_header(
        std::span<const uint8_t, kFrameHeaderBytes>(block_.get() + begin_, kFrameHeaderBytes));
    if (!header.has_value()) return std::unexpected(header.error());
    if (waiting() < kFrameHeaderBytes + header->size) return std::nullopt;
    const std::span<const uint8_t> payload(block_.get() + begin_ + kFrameHeaderBytes, header->size);
    if (!frame_intact(*header, payload)) return std::unexpected(WireFault::damaged);
    begin_ += kFrameHeaderBytes + header->size;
    std::string& begun = begun_[static_cast<size_t>(header->lane)];
    if (begun.empty() && !header->more) return Bytes(payload);
    if (begun.size() + payload.size() > kFrameBytesMax) {
      return std::unexpected(WireFault::too_long);
    }
    begun.append(reinterpret_cast<const char*>(payload.data()), payload.size());
    if (!header->more) return Bytes::adopt(std::exchange(begun, {}));
  }
  return std::nullopt;
}

}  // namespace quorate::world
