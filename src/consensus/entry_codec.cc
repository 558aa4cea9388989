#include "consensus/entry_codec.h"

#include "base/crc32c.h"

namespace quorate::consensus {
namespace {

// index, round, node, kind, proposal node, proposal sequence, size, crc32c
constexpr size_t kHeaderBytesMax = 6 * 10 + 1 + 4;

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
  const size_t start = out.size();
  out.varint(entry.index.value);
  encode_ballot(out, entry.ballot);
  out.u8(static_cast<uint8_t>(entry.kind));
  out.u64(entry.id.node.value);
  out.varint(entry.id.sequence);
  out.string(entry.data.view());
  out.u32(crc32c(std::string_view(out.text()).substr(start)));
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
