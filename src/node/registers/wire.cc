#include "node/registers/wire.h"

#include "base/codec.h"

namespace quorate::node {
namespace {

constexpr uint8_t kAcceptorSet = 0;
constexpr uint8_t kMessage = 1;

}  // namespace

Bytes encode_register_payload(const RegisterPayload& payload) {
  Encoder out;
  if (const auto* set = std::get_if<AcceptorSet>(&payload)) {
    out.u8(kAcceptorSet);
    out.varint(set->ids.size());
    for (const NodeId id : set->ids) out.u64(id.value);
  } else {
    out.u8(kMessage);
    out.raw(encode(std::get<consensus::caspaxos::Body>(payload)).view());
  }
  return out.take();
}

std::optional<RegisterPayload> decode_register_payload(const Bytes& encoded) {
  Decoder in(encoded.view());
  const uint8_t kind = in.u8();
  if (kind == kMessage && in.ok()) {
    auto body = consensus::caspaxos::decode(encoded.slice(1, encoded.size() - 1));
    if (!body) return std::nullopt;
    return std::move(*body);
  }
  if (kind != kAcceptorSet) return std::nullopt;
  AcceptorSet set;
  const uint64_t count = in.varint();
  if (count == 0 || count > kRegisterAcceptorsMax) return std::nullopt;
  for (uint64_t place = 0; in.ok() && place < count; ++place) {
    const NodeId id{in.u64()};
    if (!id || (!set.ids.empty() && id <= set.ids.back())) in.fail();  // sorted, each once
    set.ids.push_back(id);
  }
  if (!in.finished()) return std::nullopt;
  return set;
}

}  // namespace quorate::node
