// What a peer may send: the stream of its socket, single frames, a whole snapshot.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "consensus/members.h"
#include "consensus/raft/wire.h"
#include "node/member_change.h"
#include "node/registers/wire.h"
#include "node/snapshot_receiver.h"
#include "node/store_directory.h"
#include "node/wire.h"
#include "storage/wal/fake_world.h"
#include "target.h"
#include "world/real/receive_buffer.h"
#include "world/real/wire.h"

namespace quorate::fuzz {
namespace {

using storage::wal::FakeDisk;
using storage::wal::FakeExecutor;

// Feeds `stream` in steps of at most `step` bytes; what came out before the first fault.
std::vector<Bytes> received(std::string_view stream, size_t step, bool with_hello) {
  world::ReceiveBuffer buffer;
  std::vector<Bytes> frames;
  bool greeted = !with_hello;
  while (!stream.empty()) {
    const std::span<uint8_t> space = buffer.space();
    CHECK(!space.empty(), "there is always room for more bytes");
    const size_t count = std::min({step, space.size(), stream.size()});
    std::memcpy(space.data(), stream.data(), count);
    stream.remove_prefix(count);
    buffer.received(count);
    if (!greeted) {
      const auto hello = buffer.take_hello();
      if (!hello) continue;
      if (!world::decode_hello(*hello)) return frames;
      greeted = true;
    }
    while (true) {
      auto frame = buffer.take_frame();
      if (!frame) return frames;
      if (!*frame) break;
      frames.push_back(std::move(**frame));
    }
  }
  return frames;
}

// Valid frames of any content, in pieces, then one flipped bit somewhere.
void valid_stream(Bits& bits) {
  const size_t step = 1 + bits.byte() * 16U;
  const size_t flip = bits.pair();
  std::vector<std::string> frames;  // in the order in which they are whole
  std::array<std::string, 3> begun;
  std::string stream;
  while (!bits.empty()) {
    const uint8_t shape = bits.byte();
    const auto lane = static_cast<world::Lane>(shape % 3);
    const bool more = (shape & 0x80U) != 0;
    const std::string piece(bits.piece());
    const auto header = world::encode_frame_header(lane, more, Bytes(piece));
    stream.append(reinterpret_cast<const char*>(header.data()), header.size());
    stream.append(piece);
    std::string& frame = begun[shape % 3];
    frame.append(piece);
    if (!more) frames.push_back(std::exchange(frame, {}));
  }
  const auto same = [&](const std::vector<Bytes>& arrived) {
    CHECK(arrived.size() <= frames.size(), "no frame comes from nowhere");
    for (size_t at = 0; at < arrived.size(); ++at) {
      CHECK(arrived[at].view() == frames[at], "a frame arrives unchanged or not at all");
    }
  };
  const auto whole = received(stream, step, false);
  CHECK(whole.size() == frames.size(), "every valid frame arrives");
  same(whole);
  if (stream.empty()) return;
  stream[flip % stream.size()] = static_cast<char>(stream[flip % stream.size()] ^ 4);
  same(received(stream, step, false));
}

void decode_again(const consensus::Message& message) {
  if (const auto head = consensus::raft::decode_head(message.head)) {
    const Bytes again = consensus::raft::encode_head(*head);
    CHECK(consensus::raft::decode_head(again), "an encoded head can be decoded");
    static_cast<void>(consensus::raft::describe_message(message));
  }
  for (const consensus::Entry& entry : message.entries) {
    if (entry.kind != consensus::EntryKind::members) continue;
    const auto members = consensus::decode_members(entry.data);
    if (!members) continue;
    const Bytes again = consensus::encode_members(*members);
    CHECK(consensus::decode_members(again) == members, "members survive another round");
  }
}

Bytes encode_again(const node::Frame& frame) {
  return std::visit(
      [&](const auto& body) {
        using Body = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<Body, node::ConsensusFrame>) {
          return node::encode(frame.group, body.message);
        } else {
          return node::encode(frame.group, body);
        }
      },
      frame.body);
}

struct Silence : node::Outbound {
  bool send(NodeId, world::Lane, Bytes) override { return true; }
};

struct Taker : node::SnapshotReceiver::Owner {
  bool wants_snapshot(const consensus::SnapshotMeta& meta) const override {
    return meta.index > newest;
  }
  void on_snapshot_whole(NodeId, const consensus::SnapshotMeta& meta) override {
    newest = std::max(newest, meta.index);
  }
  Index newest;
};

}  // namespace

void peer_stream(std::string_view input) {
  Bits bits(input);
  const uint8_t mode = bits.byte();
  if ((mode & 1U) != 0) return valid_stream(bits);
  const size_t step = 1 + bits.byte() * 16U;
  static_cast<void>(received(bits.rest(), step, (mode & 2U) != 0));
}

void peer_frame(std::string_view input) {
  const Bytes bytes{std::string(input)};
  const auto frame = node::decode_frame(bytes);
  if (!frame) return;
  if (const auto* consensus = std::get_if<node::ConsensusFrame>(&frame->body)) {
    decode_again(consensus->message);
  }
  if (const auto* forward = std::get_if<node::Forward>(&frame->body)) {
    static_cast<void>(node::decode_member_change(forward->command));
  }
  if (const auto* registers = std::get_if<node::RegisterFrame>(&frame->body)) {
    const auto payload = node::decode_register_payload(registers->payload);
    if (payload) {
      const Bytes plain = node::encode_register_payload(*payload);
      CHECK(node::decode_register_payload(plain) == payload, "what registers say stays the same");
    }
  }
  const Bytes again = encode_again(*frame);
  const auto second = node::decode_frame(again);
  CHECK(second && second->group == frame->group, "what was decoded can be encoded and decoded");
  CHECK(encode_again(*second) == again, "and then stays the same");
}

void snapshot_frames(std::string_view input) {
  Bits bits(input);
  FakeDisk disk;
  FakeExecutor executor;
  Silence silence;
  Taker taker;
  const node::StoreDirectory directory(disk, "/data");
  node::StoreDirectory preparing = directory;
  CHECK(preparing.prepare().has_value(), "a disk in memory works");
  node::SnapshotReceiver receiver(GroupId{1}, executor, disk, directory, silence, taker);
  while (!bits.empty()) {
    const NodeId from{2U + bits.byte() % 2U};
    const Bytes bytes{std::string(bits.piece())};
    const auto frame = node::decode_frame(bytes);
    if (!frame) continue;
    if (const auto* header = std::get_if<node::SnapshotHeader>(&frame->body)) {
      receiver.on_header(from, *header);
    } else if (const auto* chunk = std::get_if<node::SnapshotChunk>(&frame->body)) {
      receiver.on_chunk(from, *chunk);
    } else if (const auto* end = std::get_if<node::SnapshotEnd>(&frame->body)) {
      receiver.on_end(from, *end);
    } else {
      receiver.on_disconnected(from);
      if (std::holds_alternative<node::ReadAsk>(frame->body)) receiver.discard_leftover();
    }
    executor.settle();
  }
  executor.settle();
  for (const auto& [path, file] : disk.files) {
    CHECK(path.starts_with("/data/snapshots/"), "a peer's names stay where they belong");
    CHECK(path.find("/..") == std::string::npos, "and lead nowhere else");
  }
}

}  // namespace quorate::fuzz
