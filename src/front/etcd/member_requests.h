// front/etcd/member_requests.h: what clients say about members, and what etcd refuses before
// such a request reaches the log. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "front/etcd/errors.h"
#include "machine/etcd/commands.h"
#include "node/service.h"

namespace quorate::front::etcd {

struct MemberRequest {  // the fields that its kind has
  uint64_t id = 0;
  uint64_t leaving = 0;  // of a replacement
  std::vector<std::string> urls;
  bool learner = false;
};
enum class MemberRequestKind : uint8_t { add, remove, update, promote, replace };
std::optional<MemberRequest> decode_member_request(MemberRequestKind kind, std::string_view wire);

// Trimmed and sorted; empty when there is none, or when one is not http://host:port.
std::optional<std::vector<std::string>> peer_urls(const std::vector<std::string>& given);

// etcd's rule --strict-reconfig-check: a change must not leave fewer than a majority of voters
// which have started and are in touch. `seen` is the membership as this member sees it.
struct MembersSeen {
  NodeId self;
  Time now;
  std::vector<node::MemberView> members;
  std::vector<machine::etcd::MemberAttributes> attributes;
};
std::optional<ApiError> check_adding_voter(const MembersSeen& seen);
std::optional<ApiError> check_removing(const MembersSeen& seen, NodeId leaving);
std::optional<ApiError> check_promoting(const MembersSeen& seen);

}  // namespace quorate::front::etcd
