// world/real/wire.h: the bytes between two members (docs/formats/wire.md): hello and frames.
//
// Everything decoded here comes from a socket and may be hostile: nothing is allocated from a
// length before it is checked, and whatever does not fit has a named fault.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/types.h"
#include "world/network.h"

namespace quorate::world {

inline constexpr uint32_t kWireVersion = 1;
// One append message (1 MiB) or snapshot chunk fits many times over; what grows beyond is damage
// or an attack.
inline constexpr size_t kFrameBytesMax = size_t{64} << 20U;
// Larger frames travel in pieces of this size, between which frames of other lanes may pass: on
// a link of 1 MB/s a heartbeat stands behind a piece for 64 ms. A piece that claims to be longer
// is refused.
inline constexpr size_t kPieceBytesMax = size_t{64} << 10U;
inline constexpr size_t kHelloBytes = 37;
inline constexpr size_t kFrameHeaderBytes = 9;

// What the accepting side makes of a hello; in its own hello it tells the dialling side.
enum class Verdict : uint8_t {
  accepted,
  other_version,
  other_cluster,
  other_member,   // the dialler looked for somebody else here
  unknown_member  // this node does not know the dialler, or expects to dial it itself
};
std::string_view describe(Verdict verdict);

struct Hello {
  uint32_t version = kWireVersion;
  Verdict verdict = Verdict::accepted;
  uint64_t cluster_id = 0;
  NodeId self;
  NodeId expected;
  bool operator==(const Hello&) const = default;
};

enum class WireFault : uint8_t { foreign, damaged, too_long, unknown_lane };
std::string_view describe(WireFault fault);

std::string encode_hello(const Hello& hello);
// Of another version only the version is meaningful: the rest may have moved.
std::expected<Hello, WireFault> decode_hello(std::span<const uint8_t, kHelloBytes> bytes);

// Who is not a member yet, or perhaps no longer, asks instead of saying hello, and gets an
// introduction: bytes of the runtime that say who belongs to the cluster. Then it is over.
inline constexpr size_t kIntroductionBytesMax = size_t{64} << 10U;
inline constexpr size_t kIntroductionHeaderBytes = 16;

std::string encode_question();  // kHelloBytes, so that both can be told apart when they are whole
// False: it is something else, a hello perhaps. A damaged question is none.
bool is_question(std::span<const uint8_t, kHelloBytes> bytes);
struct IntroductionHeader {
  uint32_t size = 0;  // of the payload
  uint32_t crc = 0;   // over the payload
};
std::string encode_introduction(const Bytes& payload);  // header and payload
std::expected<IntroductionHeader, WireFault> decode_introduction_header(
    std::span<const uint8_t, kIntroductionHeaderBytes> bytes);

struct FrameHeader {
  uint32_t size = 0;  // of the payload
  Lane lane = Lane::urgent;
  bool more = false;  // the frame goes on in the next piece of this lane
  uint32_t crc = 0;   // over the lane byte (with `more` in it) and the payload
};
using FrameHeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;
FrameHeaderBytes encode_frame_header(Lane lane, bool more, const Bytes& payload);
std::expected<FrameHeader, WireFault> decode_frame_header(
    std::span<const uint8_t, kFrameHeaderBytes> bytes);
bool frame_intact(const FrameHeader& header, std::span<const uint8_t> payload);

}  // namespace quorate::world
