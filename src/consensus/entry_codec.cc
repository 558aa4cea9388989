#include "consensus/entry_codec.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/crc32c.h"

namespace quorate::consensus {
namespace {

// index, round, node, kind, proposal node, proposal sequence, size, crc32c
constexpr size_t kHeaderBytesMax = 6 * kVarintBytesMax + 1 + 4;

// Behind what it wrote. There is room.
char* put_u64(uint64_t value, char* place) {
  static_assert(std::endian::native == std::endian::little, "integers are copied as they lie");
  std::memcpy(place, &value, sizeof(value));
  return place + sizeof(value);
}

}  // namespace

void encode_ballot(Encoder& out, const Ballot& ballot) {
  out.varint(ballot.round);
  out.u64(ballot.node.value);
}

Ballot decode_ballot(Decoder& in) {
  Ballot ballot;
  ballot.round = in.varint();
  ballot.node = NodeId{in.u64()};
  return ballot;
}

size_t encoded_size_max(const Entry& entry) { return kHeaderBytesMax + entry.data.size(); }

void encode_entry(Encoder& out, const Entry& entry) {
  // This runs twice for each command on its way: the numbers first, in one piece.
  std::array<char, kHeaderBytesMax> header;
  char* end = put_varint(entry.index.value, header.data());
  end = put_varint(entry.ballot.round, end);
  end = put_u64(entry.ballot.node.value, end);
  *end++ = static_cast<char>(entry.kind);
  end = put_u64(entry.id.node.value, end);
  end = put_varint(entry.id.sequence, end);
  end = put_varint(entry.data.size(), end);
  const std::string_view numbers(header.data(), static_cast<size_t>(end - header.data()));
  out.raw(numbers);
  out.raw(entry.data.view());
  out.u32(crc32c(entry.data.view(), crc32c(numbers)));
}

Entry decode_entry(Decoder& in, const Bytes& whole) {
  Entry entry;
  const size_t before = in.remaining();
  const size_t start = whole.size() - before;
  entry.index = Index{in.varint()};
  entry.ballot = decode_ballot(in);
  const uint8_t kind = in.u8();
  if (kind > static_cast<uint8_t>(EntryKind::members)) in.fail();
  entry.kind = static_cast<EntryKind>(kind);
  entry.id.node = NodeId{in.u64()};
  entry.id.sequence = in.varint();
  const std::string_view data = in.string();
  const size_t covered = before - in.remaining();
  const uint32_t stored = in.u32();
  if (!in.ok()) return {};
  if (crc32c(whole.view().substr(start, covered)) != stored) {
    in.fail();
    return {};
  }
  if (!data.empty()) {
    const auto offset = static_cast<size_t>(data.data() - whole.view().data());
    entry.data = whole.slice(offset, data.size());
  }
  return entry;
}

void encode_hard_state(Encoder& out, const HardState& state) {
  encode_ballot(out, state.promised);
  encode_ballot(out, state.joined);
  out.varint(state.committed.value);
}

HardState decode_hard_state(Decoder& in) {
  HardState state;
  state.promised = decode_ballot(in);
  state.joined = decode_ballot(in);
  state.committed = Index{in.varint()};
  return state;
}

void encode_snapshot_meta(Encoder& out, const SnapshotMeta& meta) {
  out.varint(meta.index.value);
  encode_ballot(out, meta.ballot);
  out.string(meta.members.view());
}

SnapshotMeta decode_snapshot_meta(Decoder& in) {
  SnapshotMeta meta;
  meta.index = Index{in.varint()};
  meta.ballot = decode_ballot(in);
  meta.members = Bytes(in.string());
  return meta;
}

}  // namespace quorate::consensus
