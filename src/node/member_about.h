// node/member_about.h: what consensus::Member::about holds: the name and URLs of a member. The
// cores carry it unread. Invariant: equal input gives equal bytes, since the founding entry must
// be the same on every founder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace quorate::node {

struct MemberAbout {
  std::string name;
  std::vector<std::string> urls;  // for people and other members, as configured
  bool operator==(const MemberAbout&) const = default;
};

Bytes encode_member_about(const MemberAbout& about);
std::optional<MemberAbout> decode_member_about(const Bytes& encoded);  // empty: malformed

}  // namespace quorate::node
