// world/real/receive_buffer.h: bytes of one socket on their way to becoming frames.
//
// Pieces are cut out of one block, each copied once. A frame of several grows in a string of its
// own as they arrive, one for each lane, so that nothing is ever allocated for a claim; it is
// handed on without another copy.
#pragma once

#include <array>
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

  std::unique_ptr<uint8_t[]> block_;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::array<std::string, 3> begun_;  // by lane: frames of which more is to come
};

}  // namespace quorate::world
