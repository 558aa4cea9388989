#include "node/wire.h"

#include <algorithm>

#include "base/codec.h"
#include "consensus/entry_codec.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

enum class Kind : uint8_t {
  hello = 1,
  consensus = 2,
  forward = 3,
  forward_refused = 4,
  read_ask = 5,
  read_answer = 6,
  snapshot_header = 7,
  snapshot_chunk = 8,
  snapshot_end = 9,
  snapshot_progress = 10,
  forward_change = 11,
  lease_ask = 12,
  lease_answer = 13,
  registers = 14,
};

Encoder begin(Kind kind, GroupId group) {
  Encoder out;
  out.u8(static_cast<uint8_t>(kind));
  out.varint(group.value);
  return out;
}

// A run of bytes that shares the frame's buffer.
Bytes borrow(Decoder& in, const Bytes& frame) {
  const std::string_view text = in.string();
  if (!in.ok() || text.empty()) return {};
  return frame.slice(static_cast<size_t>(text.data() - frame.view().data()), text.size());
}

void encode_id(Encoder& out, const ProposalId& id) {
  out.u64(id.node.value);
  out.u64(id.sequence);
}

ProposalId decode_id(Decoder& in) {
  ProposalId id;
  id.node = NodeId{in.u64()};
  id.sequence = in.u64();
  if (!id) in.fail();
  return id;
}

template <class Choice>
Choice choice(Decoder& in, Choice last) {
  const uint8_t value = in.u8();
  if (value > static_cast<uint8_t>(last)) in.fail();
  return in.ok() ? static_cast<Choice>(value) : Choice{};
}

Hello decode_hello(Decoder& in) {
  Hello hello;
  hello.incarnation = in.u64();
  hello.state = choice(in, LifeState::formed);
  // Whoever is older than the choice of protocols, or runs the first of them, says nothing more.
  if (!in.finished()) hello.protocol = std::string(in.string());
  if (hello.protocol.size() > kProtocolBytesMax) in.fail();
  return hello;
}

ConsensusFrame decode_consensus(Decoder& in, const Bytes& frame) {
  ConsensusFrame result;
  consensus::Message& message = result.message;
  message.from = NodeId{in.u64()};
  message.to = NodeId{in.u64()};
  message.urgent = in.u8() != 0;
  message.head = borrow(in, frame);
  // Not reserved: the number is a claim until the entries have been read.
  const uint64_t count = in.varint();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    message.entries.push_back(consensus::decode_entry(in, frame));
    const consensus::Entry& entry = message.entries.back();
    // The cores take configurations for well-formed.
    if (entry.kind == consensus::EntryKind::members && !consensus::decode_members(entry.data)) {
      in.fail();
    }
  }
  return result;
}

Forward decode_forward(Decoder& in, const Bytes& frame, bool is_change) {
  Forward forward;
  forward.is_change = is_change;
  forward.round = in.varint();
  forward.id = decode_id(in);
  forward.command = borrow(in, frame);
  return forward;
}

ForwardRefused decode_forward_refused(Decoder& in) {
  ForwardRefused refused;
  refused.round = in.varint();
  refused.id = decode_id(in);
  refused.why = choice(in, ForwardRefusal::change_last);
  return refused;
}

ReadAnswer decode_read_answer(Decoder& in) {
  ReadAnswer answer;
  answer.id = ReadId{in.varint()};
  const bool served = in.u8() != 0;
  const Index index{in.varint()};
  if (served) answer.index = index;
  return answer;
}

LeaseAsk decode_lease_ask(Decoder& in) {
  LeaseAsk result;
  const uint64_t count = in.varint();
  if (count > kLeaseAsksPerFrameMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    LeaseAsk::One one;
    one.id = in.varint();
    one.lease = static_cast<int64_t>(in.u64());
    one.wish = choice(in, LeaseWish::look);
    result.asks.push_back(one);
  }
  return result;
}

LeaseAnswer decode_lease_answer(Decoder& in) {
  LeaseAnswer result;
  result.applied = Index{in.varint()};
  const uint64_t count = in.varint();
  if (count > kLeaseAsksPerFrameMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    LeaseAnswer::One one;
    one.id = in.varint();
    one.state = choice(in, LeaseState::not_leader);
    one.granted_seconds = static_cast<int64_t>(in.u64());
    one.left_seconds = static_cast<int64_t>(in.u64());
    result.answers.push_back(one);
  }
  return result;
}

SnapshotHeader decode_snapshot_header(Decoder& in) {
  SnapshotHeader header;
  header.transfer = in.varint();
  header.meta = consensus::decode_snapshot_meta(in);
  const Bytes& members = header.meta.members;
  if (!members.empty() && !consensus::decode_members(members)) in.fail();
  const uint64_t count = in.varint();
  if (count > kSnapshotFilesMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    SnapshotFile file;
    file.name = std::string(in.string());
    file.size = in.varint();
    file.crc = in.u32();
    header.files.push_back(std::move(file));
  }
  return header;
}

SnapshotChunk decode_snapshot_chunk(Decoder& in, const Bytes& frame) {
  SnapshotChunk chunk;
  chunk.transfer = in.varint();
  chunk.file = in.varint();
  chunk.offset = in.varint();
  chunk.data = borrow(in, frame);
  if (chunk.data.empty() || chunk.data.size() > kSnapshotChunkBytes) in.fail();
  return chunk;
}

SnapshotProgress decode_snapshot_progress(Decoder& in) {
  SnapshotProgress progress;
  progress.transfer = in.varint();
  progress.chunks = in.varint();
  progress.state = choice(in, SnapshotState::refused);
  return progress;
}

bool decode_body(Kind kind, Decoder& in, const Bytes& bytes, Frame& frame) {
  switch (kind) {
    case Kind::hello:
      frame.body = decode_hello(in);
      return true;
    case Kind::consensus:
      frame.body = decode_consensus(in, bytes);
      return true;
    case Kind::forward:
      frame.body = decode_forward(in, bytes, false);
      return true;
    case Kind::forward_refused:
      frame.body = decode_forward_refused(in);
      return true;
    case Kind::read_ask:
      frame.body = ReadAsk{ReadId{in.varint()}};
      return true;
    case Kind::read_answer:
      frame.body = decode_read_answer(in);
      return true;
    case Kind::snapshot_header:
      frame.body = decode_snapshot_header(in);
      return true;
    case Kind::snapshot_chunk:
      frame.body = decode_snapshot_chunk(in, bytes);
      return true;
    case Kind::snapshot_end:
      frame.body = SnapshotEnd{in.varint()};
      return true;
    case Kind::snapshot_progress:
      frame.body = decode_snapshot_progress(in);
      return true;
    case Kind::forward_change:
      frame.body = decode_forward(in, bytes, true);
      return true;
    case Kind::lease_ask:
      frame.body = decode_lease_ask(in);
      return true;
    case Kind::lease_answer:
      frame.body = decode_lease_answer(in);
      return true;
    case Kind::registers:
      frame.body = RegisterFrame{borrow(in, bytes)};
      return true;
  }
  return false;
}

}  // namespace

ForwardRefusal forward_refusal(ChangeRefusal why) {
  return static_cast<ForwardRefusal>(static_cast<uint8_t>(ForwardRefusal::change_first) +
                                     static_cast<uint8_t>(why));
}

std::optional<ChangeRefusal> change_refusal(ForwardRefusal why) {
  if (why < ForwardRefusal::change_first) return std::nullopt;
  return static_cast<ChangeRefusal>(static_cast<uint8_t>(why) -
                                    static_cast<uint8_t>(ForwardRefusal::change_first));
}

Bytes encode(GroupId group, const Hello& hello) {
  Encoder out = begin(Kind::hello, group);
  out.u64(hello.incarnation);
  out.u8(static_cast<uint8_t>(hello.state));
  if (hello.protocol != Hello{}.protocol) out.string(hello.protocol);
  return out.take();
}

Bytes encode(GroupId group, const consensus::Message& message) {
  return encode_message(group, message).bytes;
}

MessageFrame encode_message(GroupId group, const consensus::Message& message,
                            const MessageFrame* same) {
  constexpr size_t kFieldsBytesMax = 48;
  size_t bytes = kFieldsBytesMax + message.head.size();
  if (same != nullptr) bytes += same->bytes.size() - same->entries_at;
  if (same == nullptr) {
    for (const consensus::Entry& entry : message.entries) bytes += encoded_size_max(entry);
  }
  Encoder out;
  out.reserve(bytes);
  out.u8(static_cast<uint8_t>(Kind::consensus));
  out.varint(group.value);
  out.u64(message.from.value);
  out.u64(message.to.value);
  out.u8(message.urgent ? 1 : 0);
  out.string(message.head.view());
  out.varint(message.entries.size());
  MessageFrame frame;
  frame.entries_at = out.size();
  if (same != nullptr) {
    out.raw(same->bytes.view().substr(same->entries_at));
  } else {
    for (const consensus::Entry& entry : message.entries) consensus::encode_entry(out, entry);
  }
  frame.bytes = out.take();
  return frame;
}

// The content is the same when it lies at the same place: no need to compare it.
bool same_entries(const consensus::Message& left, const consensus::Message& right) {
  return std::ranges::equal(
      left.entries, right.entries, [](const consensus::Entry& one, const consensus::Entry& other) {
        return one.index == other.index && one.ballot == other.ballot && one.kind == other.kind &&
               one.id == other.id && one.data.data() == other.data.data() &&
               one.data.size() == other.data.size();
      });
}

Bytes encode(GroupId group, const Forward& forward) {
  Encoder out = begin(forward.is_change ? Kind::forward_change : Kind::forward, group);
  out.varint(forward.round);
  encode_id(out, forward.id);
  out.string(forward.command.view());
  return out.take();
}

Bytes encode(GroupId group, const ForwardRefused& refused) {
  Encoder out = begin(Kind::forward_refused, group);
  out.varint(refused.round);
  encode_id(out, refused.id);
  out.u8(static_cast<uint8_t>(refused.why));
  return out.take();
}

Bytes encode(GroupId group, const ReadAsk& ask) {
  Encoder out = begin(Kind::read_ask, group);
  out.varint(ask.id.value);
  return out.take();
}

Bytes encode(GroupId group, const ReadAnswer& answer) {
  Encoder out = begin(Kind::read_answer, group);
  out.varint(answer.id.value);
  out.u8(answer.index.has_value() ? 1 : 0);
  out.varint(answer.index.value_or(Index{}).value);
  return out.take();
}

Bytes encode(GroupId group, const LeaseAsk& ask) {
  Encoder out = begin(Kind::lease_ask, group);
  out.varint(ask.asks.size());
  for (const LeaseAsk::One& one : ask.asks) {
    out.varint(one.id);
    out.u64(static_cast<uint64_t>(one.lease));
    out.u8(static_cast<uint8_t>(one.wish));
  }
  return out.take();
}

Bytes encode(GroupId group, const LeaseAnswer& answer) {
  Encoder out = begin(Kind::lease_answer, group);
  out.varint(answer.applied.value);
  out.varint(answer.answers.size());
  for (const LeaseAnswer::One& one : answer.answers) {
    out.varint(one.id);
    out.u8(static_cast<uint8_t>(one.state));
    out.u64(static_cast<uint64_t>(one.granted_seconds));
    out.u64(static_cast<uint64_t>(one.left_seconds));
  }
  return out.take();
}

Bytes encode(GroupId group, const SnapshotHeader& header) {
  Encoder out = begin(Kind::snapshot_header, group);
  out.varint(header.transfer);
  consensus::encode_snapshot_meta(out, header.meta);
  out.varint(header.files.size());
  for (const SnapshotFile& file : header.files) {
    out.string(file.name);
    out.varint(file.size);
    out.u32(file.crc);
  }
  return out.take();
}

Bytes encode(GroupId group, const SnapshotChunk& chunk) {
  Encoder out = begin(Kind::snapshot_chunk, group);
  out.varint(chunk.transfer);
  out.varint(chunk.file);
  out.varint(chunk.offset);
  out.string(chunk.data.view());
  return out.take();
}

Bytes encode(GroupId group, const SnapshotEnd& end) {
  Encoder out = begin(Kind::snapshot_end, group);
  out.varint(end.transfer);
  return out.take();
}

Bytes encode(GroupId group, const SnapshotProgress& progress) {
  Encoder out = begin(Kind::snapshot_progress, group);
  out.varint(progress.transfer);
  out.varint(progress.chunks);
  out.u8(static_cast<uint8_t>(progress.state));
  return out.take();
}

Bytes encode(GroupId group, const RegisterFrame& registers) {
  Encoder out = begin(Kind::registers, group);
  out.string(registers.payload.view());
  return out.take();
}

std::optional<Frame> decode_frame(const Bytes& bytes) {
  Decoder in(bytes.view());
  const uint8_t kind = in.u8();
  Frame frame;
  frame.group = GroupId{in.varint()};
  if (!in.ok() || !frame.group) return std::nullopt;
  if (!decode_body(static_cast<Kind>(kind), in, bytes, frame)) return std::nullopt;
  if (!in.finished()) return std::nullopt;
  return frame;
}

}  // namespace quorate::node
