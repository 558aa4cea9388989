#include "machine/etcd/lease_rows.h"

#include "base/codec.h"

namespace quorate::machine::etcd {

namespace {

constexpr uint8_t kLeaseFormat = 1;

}  // namespace

std::string lease_row_key(int64_t lease) {
  std::string key(kLeaseTable);
  const auto id = static_cast<uint64_t>(lease);
  for (int shift = 56; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>((id >> static_cast<unsigned>(shift)) & 0xffU));
  }
  return key;
}

std::optional<int64_t> decode_lease_row_key(std::string_view key) {
  key.remove_prefix(kLeaseTable.size());
  if (key.size() != sizeof(uint64_t)) return std::nullopt;
  uint64_t id = 0;
  for (const char byte : key) id = id << 8U | static_cast<unsigned char>(byte);
  return static_cast<int64_t>(id);
}

std::string encode_lease_row(const LeaseTerm& term) {
  Encoder encoder;
  encoder.u8(kLeaseFormat);
  encoder.u64(static_cast<uint64_t>(term.granted_seconds));
  encoder.u64(static_cast<uint64_t>(term.left_seconds));
  encoder.u64(term.life);
  return std::move(encoder.text());
}

std::optional<LeaseTerm> decode_lease_row(std::string_view value) {
  Decoder decoder(value);
  const uint8_t format = decoder.u8();
  LeaseTerm term;
  term.granted_seconds = static_cast<int64_t>(decoder.u64());
  term.left_seconds = static_cast<int64_t>(decoder.u64());
  term.life = decoder.u64();
  if (!decoder.finished() || format != kLeaseFormat || term.granted_seconds < 1) {
    return std::nullopt;
  }
  return term;
}

}  // namespace quorate::machine::etcd
