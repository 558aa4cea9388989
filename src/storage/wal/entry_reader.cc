#include "storage/wal/entry_reader.h"

#include "base/codec.h"
#include "consensus/entry_codec.h"

namespace quorate::storage::wal {
namespace {

// Neighbouring entries are read together up to this much: entries keep the whole piece they came
// in alive, so a piece must not be much larger than what was asked for.
constexpr uint64_t kReadBytesMax = uint64_t{1} << 20U;
// Foreign bytes between two entries that cost less to read than a second call.
constexpr uint64_t kGapBytesMax = uint64_t{16} << 10U;

Error damaged(const EntryPlace& place, const char* why) {
  return {ErrorKind::corrupt,
          "log segment " + place.segment->path + " is damaged at offset " +
              std::to_string(place.position.offset) + ": entry " +
              std::to_string(place.index.value) + " " + why +
              "; move this member's data directory away and start it again, it will copy the "
              "data from its peers"};
}

// How many places from `begin` on one read can cover.
size_t neighbours(const std::vector<EntryPlace>& places, size_t begin) {
  const Position& first = places[begin].position;
  uint64_t end = uint64_t{first.offset} + first.size;
  size_t next = begin + 1;
  for (; next < places.size(); ++next) {
    const Position& position = places[next].position;
    const uint64_t position_end = uint64_t{position.offset} + position.size;
    if (places[next].segment != places[begin].segment || position.offset < end ||
        position.offset - end > kGapBytesMax || position_end - first.offset > kReadBytesMax) {
      break;
    }
    end = position_end;
  }
  return next - begin;
}

}  // namespace

Result<std::vector<consensus::Entry>> read_entries(const std::vector<EntryPlace>& places) {
  std::vector<consensus::Entry> entries;
  entries.reserve(places.size());
  for (size_t begin = 0; begin < places.size();) {
    const size_t count = neighbours(places, begin);
    const Position& first = places[begin].position;
    const Position& last = places[begin + count - 1].position;
    std::string piece(last.offset + last.size - first.offset, '\0');
    auto got = places[begin].segment->file->read_at(
        first.offset, {reinterpret_cast<uint8_t*>(piece.data()), piece.size()});
    if (!got) return fail(got.error().kind, got.error().text);
    if (*got != piece.size()) return std::unexpected(damaged(places[begin], "is cut off"));
    const Bytes whole = Bytes::adopt(std::move(piece));
    for (size_t number = begin; number < begin + count; ++number) {
      const EntryPlace& place = places[number];
      const Bytes encoded = whole.slice(place.position.offset - first.offset, place.position.size);
      Decoder in(encoded.view());
      consensus::Entry entry = consensus::decode_entry(in, encoded);
      if (!in.finished()) return std::unexpected(damaged(place, "fails its checksum"));
      Decoder checksum(encoded.view().substr(encoded.size() - 4));
      if (entry.index != place.index || checksum.u32() != place.position.checksum) {
        return std::unexpected(damaged(place, "is not the one that was written there"));
      }
      entries.push_back(std::move(entry));
    }
    begin += count;
  }
  return entries;
}

}  // namespace quorate::storage::wal
