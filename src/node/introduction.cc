#include "node/introduction.h"

#include <algorithm>

#include "base/codec.h"
#include "node/limits.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

constexpr uint8_t kFormat = 1;

std::vector<std::string> sorted_addresses(const std::vector<std::string>& urls) {
  std::vector<std::string> addresses = addresses_of(urls);
  std::ranges::sort(addresses);
  return addresses;
}

}  // namespace

Bytes encode_introduction(const Introduction& introduction) {
  Encoder out;
  out.u8(kFormat);
  out.u64(introduction.cluster_id);
  out.varint(introduction.group.value);
  out.varint(introduction.index.value);
  out.string(consensus::encode_members(introduction.members).view());
  return out.take();
}

std::optional<Introduction> decode_introduction(const Bytes& encoded) {
  if (encoded.size() > kIntroductionBytesMax) return std::nullopt;
  Decoder in(encoded.view());
  if (in.u8() != kFormat) return std::nullopt;
  Introduction introduction;
  introduction.cluster_id = in.u64();
  introduction.group = GroupId{in.varint()};
  introduction.index = Index{in.varint()};
  auto members = consensus::decode_members(Bytes(in.string()));
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
