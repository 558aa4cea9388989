#include "node/member_about.h"

#include "base/codec.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

constexpr uint8_t kFormat = 1;
constexpr uint8_t kFormatVoterWanted = 2;  // as 1, for a learner that is to become a voter

}  // namespace

Bytes encode_member_about(const MemberAbout& about) {
  Encoder out;
  out.u8(about.voter_wanted ? kFormatVoterWanted : kFormat);
  out.string(about.name);
  out.varint(about.urls.size());
  for (const std::string& url : about.urls) out.string(url);
  return out.take();
}

std::optional<MemberAbout> decode_member_about(const Bytes& encoded) {
  Decoder in(encoded.view());
  const uint8_t format = in.u8();
  if (format != kFormat && format != kFormatVoterWanted) return std::nullopt;
  MemberAbout about;
  about.voter_wanted = format == kFormatVoterWanted;
  about.name = std::string(in.string());
  const uint64_t count = in.varint();
  if (count > kMemberUrlsMax) return std::nullopt;
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    about.urls.emplace_back(in.string());
  }
  if (!in.finished()) return std::nullopt;
  return about;
}

std::string address_of(std::string_view url) {
  constexpr std::string_view kPlain = "http://";
  if (url.starts_with(kPlain)) url.remove_prefix(kPlain.size());
  if (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

std::vector<std::string> addresses_of(const std::vector<std::string>& urls) {
  std::vector<std::string> addresses;
  addresses.reserve(urls.size());
  for (const std::string& url : urls) addresses.push_back(address_of(url));
  return addresses;
}

}  // namespace quorate::node
