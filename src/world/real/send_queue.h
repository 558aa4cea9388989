// world/real/send_queue.h: frames waiting for one socket, in three lanes.
//
// Large frames are cut into pieces. A piece once begun is finished; then urgent ones come before
// normal ones, and those before bulk. Payloads are shared, never copied: the kernel reads them in
// place.
#pragma once

#include <sys/uio.h>

#include <array>
#include <deque>
#include <span>

#include "base/bytes.h"
#include "world/network.h"
#include "world/real/wire.h"

namespace quorate::world {

// What may wait for one peer, by lane: votes and heartbeats are small; entries are bounded by
// the replicas' windows (16 MiB each); bulk senders pace themselves by on_bulk_sent.
inline constexpr std::array<size_t, 3> kQueueBytesMax = {size_t{8} << 20U, size_t{64} << 20U,
                                                         size_t{16} << 20U};

class SendQueue {
 public:
  // False: the lane is full. A frame larger than the limit is taken when the lane is empty.
  bool add(Lane lane, const Bytes& payload);
  // Bytes without a frame around them: the hello, before anything else is sent.
  void add_raw(std::string bytes);
  bool empty() const;
  bool has_bulk() const { return !lane(Lane::bulk).empty(); }
  // Fills in sending order, at most one bulk piece, and that only if allowed; how many were
  // filled. Nothing is removed before sent() says how much left.
  size_t gather(std::span<iovec> pieces, bool bulk_allowed) const;
  // Bulk frames that are complete with these bytes.
  size_t sent(size_t bytes);

 private:
  struct Frame {  // or a piece of one
    FrameHeaderBytes header{};
    uint8_t header_size = 0;
    Lane lane = Lane::urgent;
    bool more = false;
    Bytes payload;
    size_t size() const { return header_size + payload.size(); }
  };
  std::deque<Frame>& lane(Lane lane) { return lanes_[static_cast<size_t>(lane)]; }
  const std::deque<Frame>& lane(Lane lane) const { return lanes_[static_cast<size_t>(lane)]; }
  Frame* next_to_send();
  static size_t put(const Frame& frame, size_t skip, std::span<iovec> pieces);

  std::array<std::deque<Frame>, 3> lanes_;
  std::array<size_t, 3> queued_bytes_{};
  Frame begun_;
  bool has_begun_ = false;
  size_t begun_sent_ = 0;
};

}  // namespace quorate::world
