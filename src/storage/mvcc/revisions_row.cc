#include "storage/mvcc/revisions_row.h"

#include "base/codec.h"

namespace quorate::storage::mvcc {

namespace {

constexpr uint8_t kFormat = 1;

}  // namespace

std::string encode_revisions(const StoredRevisions& revisions) {
  Encoder encoder;
  encoder.u8(kFormat);
  encoder.u64(static_cast<uint64_t>(revisions.current));
  encoder.u64(static_cast<uint64_t>(revisions.compacted));
  encoder.u8(revisions.compacting ? 1 : 0);
  return std::move(encoder.text());
}

Result<StoredRevisions> decode_revisions(std::string_view text) {
  Decoder decoder(text);
  const uint8_t format = decoder.u8();
  if (decoder.ok() && format > kFormat) {
    return fail(ErrorKind::invalid, "The row store has format " + std::to_string(format) +
                                        ", this version knows " + std::to_string(kFormat) +
                                        ". Start the version that wrote it, or a newer one.");
  }
  StoredRevisions revisions;
  revisions.current = static_cast<int64_t>(decoder.u64());
  revisions.compacted = static_cast<int64_t>(decoder.u64());
  revisions.compacting = decoder.u8() != 0;
  if (!decoder.finished() || revisions.current < 1 || revisions.compacted > revisions.current ||
      revisions.compacted < -1) {
    return fail(ErrorKind::corrupt,
                "The row store is damaged: its revisions make no sense. Replace the member, or "
                "restore it from a snapshot.");
  }
  return revisions;
}

}  // namespace quorate::storage::mvcc
