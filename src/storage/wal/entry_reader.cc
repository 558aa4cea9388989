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

std::string sentence(const EntryPlace& place, const std::string& why) {
  return "log segment " + place.segment->path + " is damaged at offset " +
         std::to_string(place.position.offset) + ": entry " + std::to_string(place.index.value) +
         " " + why;
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

// What is wrong with the entry in these bytes, or nothing.
const char* check(const EntryPlace& place, const Bytes& encoded, consensus::Entry& entry) {
  Decoder in(encoded.view());
  entry = consensus::decode_entry(in, encoded);
  if (!in.finished()) return "fails its checksum";
  Decoder checksum(encoded.view().substr(encoded.size() - 4));
  if (entry.index != place.index || checksum.u32() != place.position.checksum) {
    return "is not the one that was written there";
  }
  return nullptr;
}

// Reads what lies between two offsets; a piece that cannot be read as a whole is read again for
// each entry, so that one bad sector costs one entry.
Result<Bytes> read_piece(const Segment& segment, uint64_t begin, uint64_t end) {
  std::string piece(end - begin, '\0');
  auto got = segment.file->read_at(begin, {reinterpret_cast<uint8_t*>(piece.data()), piece.size()});
  if (!got) return fail(got.error().kind, got.error().text);
  if (*got != piece.size()) return fail(ErrorKind::corrupt, "is cut off");
  return Bytes::adopt(std::move(piece));
}

}  // namespace

EntriesRead read_entries(const std::vector<EntryPlace>& places) {
  EntriesRead read;
  read.entries.reserve(places.size());
  for (size_t begin = 0; begin < places.size();) {
    const size_t count = neighbours(places, begin);
    const Position& last = places[begin + count - 1].position;
    const uint64_t start = places[begin].position.offset;
    const auto whole = read_piece(*places[begin].segment, start, uint64_t{last.offset} + last.size);
    for (size_t number = begin; number < begin + count; ++number) {
      const EntryPlace& place = places[number];
      const Position& position = place.position;
      auto encoded = whole ? Result<Bytes>(whole->slice(position.offset - start, position.size))
                           : read_piece(*place.segment, position.offset,
                                        uint64_t{position.offset} + position.size);
      consensus::Entry entry;
      const char* why = encoded ? check(place, *encoded, entry) : nullptr;
      if (!encoded || why != nullptr) {
        read.damaged = place;
        read.why = sentence(place, encoded ? why : "cannot be read: " + encoded.error().text);
        return read;
      }
      read.entries.push_back(std::move(entry));
    }
    begin += count;
  }
  return read;
}

}  // namespace quorate::storage::wal
