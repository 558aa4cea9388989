#include "node/introduction.h"

#include <algorithm>

#include "base/codec.h"
#include "node/limits.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

constexpr uint8_t kFormatWithoutProtocol = 1;
constexpr uint8_t kFormat = 2;
// Told in the older format, which versions without a choice of protocol understand too.
constexpr std::string_view kDefaultProtocol = "raft";

std::vector<std::string> sorted_addresses(const std::vector<std::string>& urls) {
  std::vector<std::string> addresses = addresses_of(urls);
  std::ranges::sort(addresses);
  return addresses;
}

}  // namespace

Bytes encode_introduction(const Introduction& introduction) {
  Encoder out;
  const bool named = introduction.protocol != kDefaultProtocol;
  out.u8(named ? kFormat : kFormatWithoutProtocol);
  out.u64(introduction.cluster_id);
  out.varint(introduction.group.value);
  out.varint(introduction.index.value);
  out.string(consensus::encode_members(introduction.members).view());
  if (named) out.string(introduction.protocol);
  return out.take();
}

std::optional<Introduction> decode_introduction(const Bytes& encoded) {
  if (encoded.size() > kIntroductionBytesMax) return std::nullopt;
  Decoder in(encoded.view());
  const uint8_t format = in.u8();
  if (format != kFormat && format != kFormatWithoutProtocol) return std::nullopt;
  Introduction introduction;
  introduction.cluster_id = in.u64();
  introduction.group = GroupId{in.varint()};
  introduction.index = Index{in.varint()};
  auto members = consensus::decode_members(Bytes(in.string()));
  if (format == kFormat) introduction.protocol = std::string(in.string());
  if (introduction.protocol.size() > kProtocolBytesMax) return std::nullopt;
  if (!in.finished() || !members || !introduction.group) return std::nullopt;
  introduction.members = std::move(*members);
  return introduction;
}

Result<NodeId> member_at(const Introduction& introduction, const std::string& name,
                         std::vector<std::string> urls) {
  urls = sorted_addresses(urls);
  for (const auto* list : {&introduction.members.voters, &introduction.members.learners}) {
    for (const consensus::Member& member : *list) {
      const auto about = decode_member_about(member.about);
      if (!about || sorted_addresses(about->urls) != urls) continue;
      if (about->name.empty() || about->name == name) return member.id;
      return fail(ErrorKind::conflict, "the member at these peer URLs is called \"" + about->name +
                                           "\", not \"" + name + "\"; start it with its own name");
    }
  }
  return NodeId{};
}

}  // namespace quorate::node
