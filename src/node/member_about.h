// node/member_about.h: what consensus::Member::about holds: the name and peer URLs of a member,
// and whether it is to become a voter. The cores carry it unread. Invariant: equal input gives
// equal bytes, since the founding entry must be the same on every founder.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace quorate::node {

struct MemberAbout {
  std::string name;               // of founders; who is added later says it when it starts
  std::vector<std::string> urls;  // for people and other members, as configured
  // A learner that the leader makes a voter as soon as it has caught up (docs/decisions/0015).
  bool voter_wanted = false;
  bool operator==(const MemberAbout&) const = default;
};

Bytes encode_member_about(const MemberAbout& about);
std::optional<MemberAbout> decode_member_about(const Bytes& encoded);  // empty: malformed

// Where the network reaches a peer URL: host:port, without a closing slash, and without a scheme
// unless that is https://, which asks for TLS.
std::string address_of(std::string_view url);
std::vector<std::string> addresses_of(const std::vector<std::string>& urls);

}  // namespace quorate::node
