#include "node/member_about.h"

#include "base/codec.h"

namespace quorate::node {
namespace {

constexpr uint8_t kFormat = 1;
constexpr uint64_t kUrlsMax = 64;  // hostile input bound; a member has one or two

}  // namespace

Bytes encode_member_about(const MemberAbout& about) {
  Encoder out;
  out.u8(kFormat);
  out.string(about.name);
  out.varint(about.urls.size());
  for (const std::string& url : about.urls) out.string(url);
  return out.take();
}

std::optional<MemberAbout> decode_member_about(const Bytes& encoded) {
  Decoder in(encoded.view());
  if (in.u8() != kFormat) return std::nullopt;
  MemberAbout about;
  about.name = std::string(in.string());
  const uint64_t count = in.varint();
  if (count > kUrlsMax) return std::nullopt;
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    about.urls.emplace_back(in.string());
  }
  if (!in.finished()) return std::nullopt;
  return about;
}

}  // namespace quorate::node
