#include "machine/etcd/position_row.h"

#include "base/codec.h"

namespace quorate::machine::etcd {

namespace {

constexpr uint8_t kPositionFormat = 1;

}  // namespace

std::string encode_position(const AppliedPosition& position) {
  Encoder encoder;
  encoder.u8(kPositionFormat);
  encoder.u64(position.index.value);
  encoder.u64(position.round);
  encoder.string(position.members.view());
  return std::move(encoder.text());
}

Result<AppliedPosition> decode_position(const std::optional<std::string>& text) {
  if (!text) return AppliedPosition();  // nothing applied yet
  Decoder decoder(*text);
  const uint8_t format = decoder.u8();
  AppliedPosition position;
  position.index.value = decoder.u64();
  position.round = decoder.u64();
  position.members = Bytes(decoder.string());
  if (!decoder.finished() || format != kPositionFormat) {
    return fail(ErrorKind::corrupt,
                "The row store is damaged or of a newer version: its applied position cannot be "
                "decoded. Start the version that wrote it, or replace the member.");
  }
  return position;
}

}  // namespace quorate::machine::etcd
