#include "world/real/send_queue.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::world {

bool SendQueue::add(Lane lane_name, const Bytes& payload) {
  size_t& queued = queued_bytes_[static_cast<size_t>(lane_name)];
  const size_t limit = kQueueBytesMax[static_cast<size_t>(lane_name)];
  CHECK(payload.size() <= kFrameBytesMax, "senders cut what they send to the frame limit");
  if (queued != 0 && queued + payload.size() + kFrameHeaderBytes > limit) return false;
  size_t offset = 0;
  do {
    const size_t size = std::min(kPieceBytesMax, payload.size() - offset);
    Frame& piece = lane(lane_name).emplace_back();
    piece.lane = lane_name;
    piece.payload = size == payload.size() ? payload : payload.slice(offset, size);
    offset += size;
    piece.more = offset < payload.size();
    piece.header = encode_frame_header(lane_name, piece.more, piece.payload);
    piece.header_size = kFrameHeaderBytes;
    queued += piece.size();
  } while (offset < payload.size());
  return true;
}

void SendQueue::add_raw(std::string bytes) {
  CHECK(empty(), "a hello comes before every frame");
  Frame& frame = lane(Lane::urgent).emplace_back();
  frame.payload = Bytes::adopt(std::move(bytes));
  queued_bytes_[static_cast<size_t>(Lane::urgent)] += frame.size();
}

bool SendQueue::empty() const {
  return !has_begun_ && lane(Lane::urgent).empty() && lane(Lane::normal).empty() && !has_bulk();
}

size_t SendQueue::put(const Frame& frame, size_t skip, std::span<iovec> pieces) {
  size_t filled = 0;
  if (skip < frame.header_size) {
    // The kernel only reads through these pointers.
    pieces[filled++] = {const_cast<uint8_t*>(frame.header.data()) + skip, frame.header_size - skip};
    skip = 0;
  } else {
    skip -= frame.header_size;
  }
  if (skip < frame.payload.size()) {
    pieces[filled++] = {const_cast<uint8_t*>(frame.payload.data()) + skip,
                        frame.payload.size() - skip};
  }
  return filled;
}

size_t SendQueue::gather(std::span<iovec> pieces, bool bulk_allowed) const {
  constexpr size_t kPiecesPerFrame = 2;
  size_t filled = 0;
  if (has_begun_) filled += put(begun_, begun_sent_, pieces);
  for (const Lane name : {Lane::urgent, Lane::normal}) {
    for (const Frame& frame : lane(name)) {
      if (filled + kPiecesPerFrame > pieces.size()) return filled;
      filled += put(frame, 0, pieces.subspan(filled));
    }
  }
  const std::deque<Frame>& bulk = lane(Lane::bulk);
  if (bulk_allowed && !bulk.empty() && filled + kPiecesPerFrame <= pieces.size()) {
    filled += put(bulk.front(), 0, pieces.subspan(filled));
  }
  return filled;
}

SendQueue::Frame* SendQueue::next_to_send() {
  if (has_begun_) return &begun_;
  for (std::deque<Frame>& frames : lanes_) {
    if (!frames.empty()) return &frames.front();
  }
  return nullptr;
}

size_t SendQueue::sent(size_t bytes) {
  size_t bulk_frames = 0;
  while (bytes > 0) {
    Frame* frame = next_to_send();
    CHECK(frame != nullptr, "the kernel takes no more than it was given");
    const size_t left = frame->size() - (has_begun_ ? begun_sent_ : 0);
    if (bytes < left) {
      if (!has_begun_) {
        begun_ = std::move(*frame);
        lane(begun_.lane).pop_front();
        has_begun_ = true;
        begun_sent_ = 0;
      }
      begun_sent_ += bytes;
      return bulk_frames;
    }
    bytes -= left;
    const Lane name = frame->lane;
    const bool whole = !frame->more;
    queued_bytes_[static_cast<size_t>(name)] -= frame->size();
    bulk_frames += name == Lane::bulk && whole ? 1 : 0;
    if (has_begun_) {
      has_begun_ = false;
      begun_.payload = {};
    } else {
      lane(name).pop_front();
    }
  }
  return bulk_frames;
}

}  // namespace quorate::world
