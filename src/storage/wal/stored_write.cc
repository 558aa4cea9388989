#include "storage/wal/stored_write.h"

#include <cstring>

#include "base/codec.h"
#include "consensus/entry_codec.h"

namespace quorate::storage::wal {
namespace {

// What a write may hold, as bits of its first byte.
constexpr uint8_t kHasHardState = 1;
constexpr uint8_t kHasTruncation = 2;
constexpr uint8_t kHasSnapshot = 4;
constexpr uint8_t kInstalls = 8;
constexpr uint8_t kKeepsRest = 16;
constexpr uint8_t kHasRepairs = 32;
constexpr uint8_t kAllFlags = 63;

// Of each entry in the front of a write: its size, with a bit for `members`, and its checksum.
constexpr size_t kEntryRowBytes = 4 + 4;
constexpr uint32_t kMembersBit = uint32_t{1} << 31U;

constexpr size_t kVarintBytesMax = 10;
constexpr size_t kBallotBytesMax = kVarintBytesMax + 8;
constexpr size_t kHardStateBytesMax = 2 * kBallotBytesMax + kVarintBytesMax;

struct EntryRun {  // neighbours of one ballot
  Index first;
  uint64_t count = 0;
  consensus::Ballot ballot;
};

std::vector<EntryRun> runs_of(const std::vector<consensus::Entry>& entries) {
  std::vector<EntryRun> runs;
  for (const consensus::Entry& entry : entries) {
    const bool same = !runs.empty() && runs.back().ballot == entry.ballot &&
                      runs.back().first + runs.back().count == entry.index;
    if (!same) runs.push_back({entry.index, 0, entry.ballot});
    ++runs.back().count;
  }
  return runs;
}

void encode_runs(Encoder& out, const std::vector<EntryRun>& runs) {
  out.varint(runs.size());
  for (const EntryRun& run : runs) {
    out.varint(run.first.value);
    out.varint(run.count);
    consensus::encode_ballot(out, run.ballot);
  }
}

// Entries as their runs tell: without content.
std::vector<consensus::Entry> decode_runs(Decoder& in, uint64_t count_max) {
  std::vector<consensus::Entry> entries;
  const uint64_t runs = in.varint();
  for (uint64_t run = 0; run < runs && in.ok(); ++run) {
    const Index first{in.varint()};
    const uint64_t count = in.varint();
    const consensus::Ballot ballot = consensus::decode_ballot(in);
    if (count == 0 || count > count_max - entries.size()) in.fail();
    for (uint64_t place = 0; place < count && in.ok(); ++place) {
      consensus::Entry entry;
      entry.index = first + place;
      entry.ballot = ballot;
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

// A table of rows, filled in when sizes and checksums are known.
void set_row(std::string& text, size_t place, uint32_t size_and_kind, std::string_view checksum) {
  Encoder row;
  row.u32(size_and_kind);
  row.raw(checksum);
  std::memcpy(text.data() + place, row.text().data(), kEntryRowBytes);
}

bool same_identity(const consensus::Entry& left, const consensus::Entry& right) {
  return left.index == right.index && left.ballot == right.ballot &&
         (left.kind == consensus::EntryKind::members) ==
             (right.kind == consensus::EntryKind::members);
}

void decode_common(Decoder& in, uint8_t flags, StoredWrite& stored) {
  if ((flags & kHasHardState) != 0) stored.write.hard_state = consensus::decode_hard_state(in);
  if ((flags & kHasTruncation) != 0) stored.write.truncate_from = Index{in.varint()};
  if ((flags & kHasSnapshot) != 0) stored.write.snapshot = consensus::decode_snapshot_meta(in);
  stored.write.install = (flags & kInstalls) != 0;
  stored.keep_rest = (flags & kKeepsRest) != 0;
}

// Format 1: entries follow at once, and the whole record is under one checksum.
std::optional<StoredWrite> decode_old_write(const Record& record, const Bytes& payload) {
  Decoder in(payload.view());
  StoredWrite stored;
  const uint8_t flags = in.u8();
  if (flags >= kHasRepairs) return std::nullopt;
  stored.write.id = record.header.write;
  decode_common(in, flags, stored);
  const uint64_t entries = in.varint();
  for (uint64_t entry = 0; entry < entries && in.ok(); ++entry) {
    const size_t begin = payload.size() - in.remaining();
    stored.write.entries.push_back(consensus::decode_entry(in, payload));
    if (!in.ok()) break;
    const size_t end = payload.size() - in.remaining();
    Decoder checksum(payload.view().substr(end - 4, 4));
    stored.positions.push_back({record.header.generation,
                                static_cast<uint32_t>(record.payload_offset + begin),
                                static_cast<uint32_t>(end - begin), checksum.u32()});
  }
  if (!in.finished()) return std::nullopt;
  return stored;
}

// Puts the content into an entry of which the identity is known, if the bytes are what the row
// in the front says.
bool fill_entry(consensus::Entry& entry, const Bytes& payload, uint64_t begin, uint32_t size,
                uint32_t checksum) {
  const Bytes encoded = payload.slice(begin, size);
  Decoder in(encoded.view());
  consensus::Entry read = consensus::decode_entry(in, encoded);
  if (!in.finished() || !same_identity(read, entry)) return false;
  Decoder stored(encoded.view().substr(encoded.size() - 4));
  if (stored.u32() != checksum) return false;
  entry = std::move(read);
  return true;
}

}  // namespace

void encode_write(Encoder& out, const consensus::Write& write, bool keep_rest,
                  EncodedWrite& encoded) {
  const size_t start = out.size();
  uint8_t flags = 0;
  if (write.hard_state) flags |= kHasHardState;
  if (write.truncate_from) flags |= kHasTruncation;
  if (write.snapshot) flags |= kHasSnapshot;
  if (write.install) flags |= kInstalls;
  if (keep_rest) flags |= kKeepsRest;
  if (!write.repairs.empty()) flags |= kHasRepairs;
  out.u8(flags);
  if (write.hard_state) consensus::encode_hard_state(out, *write.hard_state);
  if (write.truncate_from) out.varint(write.truncate_from->value);
  if (write.snapshot) consensus::encode_snapshot_meta(out, *write.snapshot);
  out.varint(write.entries.size());
  encode_runs(out, runs_of(write.entries));
  if (!write.repairs.empty()) {
    out.varint(write.repairs.size());
    encode_runs(out, runs_of(write.repairs));
  }
  const size_t count = write.entries.size() + write.repairs.size();
  size_t row = out.size();
  out.text().append(count * kEntryRowBytes, '\0');
  encoded.front = static_cast<uint32_t>(out.size() - start);
  encoded.positions.clear();
  encoded.positions.reserve(count);
  for (const auto* list : {&write.entries, &write.repairs}) {
    for (const consensus::Entry& entry : *list) {
      const size_t begin = out.size();
      consensus::encode_entry(out, entry);
      const auto size = static_cast<uint32_t>(out.size() - begin);
      const std::string_view checksum = std::string_view(out.text()).substr(out.size() - 4);
      const uint32_t kind = entry.kind == consensus::EntryKind::members ? kMembersBit : 0;
      Decoder number(checksum);
      encoded.positions.push_back({0, static_cast<uint32_t>(begin - start), size, number.u32()});
      set_row(out.text(), row, size | kind, checksum);
      row += kEntryRowBytes;
    }
  }
}

size_t encoded_write_size_max(const consensus::Write& write) {
  constexpr size_t kRunBytesMax = 2 * kVarintBytesMax + kBallotBytesMax;
  size_t size = 1 + kHardStateBytesMax + 5 * kVarintBytesMax;
  if (write.snapshot) {
    size += 2 * kVarintBytesMax + kBallotBytesMax + write.snapshot->members.size();
  }
  for (const auto* list : {&write.entries, &write.repairs}) {
    const consensus::Entry* before = nullptr;
    for (const consensus::Entry& entry : *list) {
      const bool same = before != nullptr && before->ballot == entry.ballot &&
                        before->index.next() == entry.index;
      size += consensus::encoded_size_max(entry) + kEntryRowBytes + (same ? 0 : kRunBytesMax);
      before = &entry;
    }
  }
  return size;
}

std::optional<StoredWrite> decode_write(const Record& record, const Bytes& segment) {
  const Bytes payload = segment.slice(record.payload_offset, record.payload.size());
  if (record.header.format == 0) return decode_old_write(record, payload);
  const size_t front = record.header.front;
  Decoder in(payload.view().substr(0, front));
  StoredWrite stored;
  const uint8_t flags = in.u8();
  if (flags > kAllFlags || front == 0) return std::nullopt;
  stored.write.id = record.header.write;
  decode_common(in, flags, stored);
  const auto list = [&] {
    const uint64_t count = in.varint();
    std::vector<consensus::Entry> entries;
    if (count <= front / kEntryRowBytes) entries = decode_runs(in, count);
    if (entries.size() != count) in.fail();
    return entries;
  };
  stored.write.entries = list();
  if ((flags & kHasRepairs) != 0) stored.write.repairs = list();
  uint64_t begin = front;
  for (auto* entries : {&stored.write.entries, &stored.write.repairs}) {
    for (consensus::Entry& entry : *entries) {
      const uint32_t size_and_kind = in.u32();
      const uint32_t checksum = in.u32();
      const uint32_t size = size_and_kind & ~kMembersBit;
      if (!in.ok() || size < 4 || size > payload.size() - begin) return std::nullopt;
      if ((size_and_kind & kMembersBit) != 0) entry.kind = consensus::EntryKind::members;
      // Of what is damaged, `command` says no more than that it is no configuration.
      if ((size_and_kind & kMembersBit) == 0) entry.kind = consensus::EntryKind::command;
      const bool whole = fill_entry(entry, payload, begin, size, checksum);
      const Position place{record.header.generation,
                           static_cast<uint32_t>(record.payload_offset + begin), size, checksum};
      stored.whole = stored.whole && whole;
      stored.positions.push_back(whole ? place : Position{});
      if (!whole) stored.lost.push_back(place);
      begin += size;
    }
  }
  if (!in.finished() || begin != payload.size()) return std::nullopt;
  return stored;
}

}  // namespace quorate::storage::wal
