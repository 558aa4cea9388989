// world/real/receive_buffer.h: bytes of one socket on their way to becoming frames.
//
// Small frames are cut out of one block, each copied once. A frame larger than the block gets a
// string of its own that grows as its bytes arrive, so that a claimed length alone never makes
// us allocate; it is handed on without a copy.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "world/real/wire.h"

namespace quorate::world {

class ReceiveBuffer {
 public:
  // Where the next bytes go; never empty. received() says how many came.
  std::span<uint8_t> space();
  void received(size_t bytes);

  // The hello, once whole.
  std::optional<std::span<const uint8_t, kHelloBytes>> take_hello();
  // The next whole frame, nothing if more bytes are needed, or why the stream is unusable.
  std::expected<std::optional<Bytes>, WireFault> take_frame();

 private:
  size_t waiting() const { return end_ - begin_; }
  void begin_large(const FrameHeader& header);
  std::expected<std::optional<Bytes>, WireFault> take_large();

  std::unique_ptr<uint8_t[]> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::optional<FrameHeader> large_;  // a frame that does not fit into the block
  std::string large_payload_;
  size_t large_filled_ = 0;
};

}  // namespace quorate::world
