// node/registers/wire.h: what the payload of a register frame says.
//
// Either a message of the protocol, or who the acceptors are, which a node tells each peer it
// meets: one that joined later cannot know. Hostile until decoded.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "consensus/register/message.h"

namespace quorate::node {

// Of the founders of one cluster; seven are usual.
inline constexpr size_t kRegisterAcceptorsMax = 64;

struct AcceptorSet {
  std::vector<NodeId> ids;
  bool operator==(const AcceptorSet&) const = default;
};
using RegisterPayload = std::variant<AcceptorSet, consensus::caspaxos::Body>;

Bytes encode_register_payload(const RegisterPayload& payload);
std::optional<RegisterPayload> decode_register_payload(const Bytes& encoded);

}  // namespace quorate::node
