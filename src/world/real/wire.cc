#include "world/real/wire.h"

#include <algorithm>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"

namespace quorate::world {
namespace {

constexpr uint32_t kMagic = 0x57545251;              // "QRTW" on the wire
constexpr uint32_t kQuestionMagic = 0x3f545251;      // "QRT?"
constexpr uint32_t kIntroductionMagic = 0x21545251;  // "QRT!"

std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr uint8_t kMore = 0x80;  // beside the lane

uint8_t lane_byte_of(Lane lane, bool more) {
  return static_cast<uint8_t>(static_cast<uint8_t>(lane) | (more ? kMore : 0));
}

uint32_t frame_crc(uint8_t lane_byte, std::span<const uint8_t> payload) {
  return crc32c(payload, crc32c(std::span(&lane_byte, 1)));
}

}  // namespace

std::string_view describe(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return "accepted";
    case Verdict::other_version:
      return "it speaks another version of the wire format";
    case Verdict::other_cluster:
      return "it belongs to another cluster";
    case Verdict::other_member:
      return "it is not the member looked for";
    case Verdict::unknown_member:
      return "it does not know this member";
  }
  return "for a reason this version does not know";
}

std::string_view describe(WireFault fault) {
  switch (fault) {
    case WireFault::foreign:
      return "it does not speak this protocol";
    case WireFault::damaged:
      return "its bytes do not match their checksum";
    case WireFault::too_long:
      return "it announces a longer frame than any member sends";
    case WireFault::unknown_lane:
      return "it sends on a lane that does not exist";
  }
  return "unknown fault";
}

std::string encode_hello(const Hello& hello) {
  Encoder encoder;
  encoder.reserve(kHelloBytes);
  encoder.u32(kMagic);
  encoder.u32(hello.version);
  encoder.u8(static_cast<uint8_t>(hello.verdict));
  encoder.u64(hello.cluster_id);
  encoder.u64(hello.self.value);
  encoder.u64(hello.expected.value);
  encoder.u32(crc32c(encoder.text()));
  CHECK(encoder.size() == kHelloBytes, "a hello has one size in every version");
  return std::move(encoder.text());
}

std::expected<Hello, WireFault> decode_hello(std::span<const uint8_t, kHelloBytes> bytes) {
  Decoder decoder(as_text(bytes));
  if (decoder.u32() != kMagic) return std::unexpected(WireFault::foreign);
  Hello hello;
  hello.version = decoder.u32();
  if (hello.version != kWireVersion) return hello;
  const uint8_t verdict = decoder.u8();
  hello.verdict = static_cast<Verdict>(verdict);
  hello.cluster_id = decoder.u64();
  hello.self = NodeId{decoder.u64()};
  hello.expected = NodeId{decoder.u64()};
  const uint32_t crc = decoder.u32();
  const bool intact = crc == crc32c(as_text(bytes.first<kHelloBytes - sizeof crc>()));
  if (!intact || !decoder.finished()) return std::unexpected(WireFault::damaged);
  if (verdict > static_cast<uint8_t>(Verdict::unknown_member) || hello.self.value == 0) {
    return std::unexpected(WireFault::damaged);
  }
  return hello;
}

std::string encode_question() {
  Encoder encoder;
  encoder.reserve(kHelloBytes);
  encoder.u32(kQuestionMagic);
  encoder.u32(kWireVersion);
  encoder.text().resize(kHelloBytes - sizeof(uint32_t), '\0');
  encoder.u32(crc32c(encoder.text()));
  return std::move(encoder.text());
}

bool is_question(std::span<const uint8_t, kHelloBytes> bytes) {
  Decoder decoder(as_text(bytes));
  return decoder.u32() == kQuestionMagic && as_text(bytes) == encode_question();
}

std::string encode_introduction(const Bytes& payload) {
  CHECK(payload.size() <= kIntroductionBytesMax, "the runtime keeps its introduction short");
  Encoder encoder;
  encoder.reserve(kIntroductionHeaderBytes + payload.size());
  encoder.u32(kIntroductionMagic);
  encoder.u32(kWireVersion);
  encoder.u32(static_cast<uint32_t>(payload.size()));
  encoder.u32(crc32c(payload.span()));
  encoder.raw(payload.view());
  return std::move(encoder.text());
}

std::expected<IntroductionHeader, WireFault> decode_introduction_header(
    std::span<const uint8_t, kIntroductionHeaderBytes> bytes) {
  Decoder decoder(as_text(bytes));
  const bool ours = decoder.u32() == kIntroductionMagic && decoder.u32() == kWireVersion;
  if (!ours) return std::unexpected(WireFault::foreign);
  IntroductionHeader header;
  header.size = decoder.u32();
  header.crc = decoder.u32();
  if (header.size > kIntroductionBytesMax) return std::unexpected(WireFault::too_long);
  return header;
}

FrameHeaderBytes encode_frame_header(Lane lane, bool more, const Bytes& payload) {
  CHECK(payload.size() <= kPieceBytesMax, "what is larger is cut into pieces first");
  // By hand: this runs for every frame, and an Encoder would allocate.
  FrameHeaderBytes bytes{};
  const auto size = static_cast<uint32_t>(payload.size());
  const uint8_t lane_byte = lane_byte_of(lane, more);
  const uint32_t crc = frame_crc(lane_byte, payload.span());
  for (unsigned byte = 0; byte < 4; ++byte) {
    bytes[byte] = static_cast<uint8_t>(size >> (8 * byte));
    bytes[5 + byte] = static_cast<uint8_t>(crc >> (8 * byte));
  }
  bytes[4] = lane_byte;
  return bytes;
}

std::expected<FrameHeader, WireFault> decode_frame_header(
    std::span<const uint8_t, kFrameHeaderBytes> bytes) {
  Decoder decoder(as_text(bytes));
  FrameHeader header;
  header.size = decoder.u32();
  const uint8_t lane_byte = decoder.u8();
  const uint8_t lane = lane_byte & ~kMore;
  header.crc = decoder.u32();
  if (header.size > kPieceBytesMax) return std::unexpected(WireFault::too_long);
  if (lane > static_cast<uint8_t>(Lane::bulk)) return std::unexpected(WireFault::unknown_lane);
  header.lane = static_cast<Lane>(lane);
  header.more = (lane_byte & kMore) != 0;
  return header;
}

bool frame_intact(const FrameHeader& header, std::span<const uint8_t> payload) {
  return payload.size() == header.size &&
         frame_crc(lane_byte_of(header.lane, header.more), payload) == header.crc;
}

}  // namespace quorate::world
