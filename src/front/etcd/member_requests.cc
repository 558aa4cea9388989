#include "front/etcd/member_requests.h"

#include <algorithm>
#include <charconv>

#include "node/limits.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::front::etcd {
namespace {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;

// etcd's HealthInterval: a connection that is younger may be one of many that come and go.
constexpr Duration kHealthInterval = std::chrono::seconds(5);

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool valid_port(std::string_view port) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size() && number != 0;
}

bool valid_url(std::string_view url) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) return false;
  if (url.size() > node::kMemberUrlBytesMax) return false;
  url.remove_prefix(url.find("://") + 3);
  if (url.find_first_of("/?#@ \t") != std::string_view::npos) return false;
  const size_t colon = url.rfind(':');
  if (colon == std::string_view::npos || !valid_port(url.substr(colon + 1))) return false;
  const std::string_view host = url.substr(0, colon);
  if (host.starts_with('[')) return host.size() > 2 && host.ends_with(']');
  return !host.empty() && host.find(':') == std::string_view::npos;
}

bool votes(const node::MemberView& member) { return !member.learner; }

bool started(const MembersSeen& seen, const node::MemberView& member) {
  if (!member.name.empty()) return true;
  const auto found =
      std::ranges::find(seen.attributes, member.id.value, &machine::etcd::MemberAttributes::id);
  return found != seen.attributes.end() && !found->name.empty();
}

size_t count_started(const MembersSeen& seen, NodeId except = {}) {
  return static_cast<size_t>(
      std::ranges::count_if(seen.members, [&](const node::MemberView& member) {
        return votes(member) && member.id != except && started(seen, member);
      }));
}

size_t count_voters(const MembersSeen& seen) {
  return static_cast<size_t>(std::ranges::count_if(seen.members, votes));
}

size_t count_connected(const MembersSeen& seen) {
  return static_cast<size_t>(
      std::ranges::count_if(seen.members, [&](const node::MemberView& member) {
        if (!votes(member)) return false;
        return member.id == seen.self ||
               (member.connected_since && seen.now - *member.connected_since >= kHealthInterval);
      }));
}

size_t majority(size_t voters) { return voters / 2 + 1; }

}  // namespace

std::optional<MemberRequest> decode_member_request(MemberRequestKind kind, std::string_view wire) {
  MemberRequest request;
  const bool adds = kind == MemberRequestKind::add;
  const bool replaces = kind == MemberRequestKind::replace;
  Reader reader(wire);
  while (reader.next()) {
    const uint64_t field = reader.field();
    if (adds && field == varint_field(2)) request.learner = reader.boolean();
    if (replaces && field == varint_field(1)) request.leaving = reader.number();
    if (replaces && field == varint_field(2)) request.id = reader.number();
    if (!adds && !replaces && field == varint_field(1)) request.id = reader.number();
    if (field == bytes_field(adds ? 1 : 2)) {
      if (request.urls.size() >= node::kMemberUrlsMax) return std::nullopt;
      request.urls.emplace_back(reader.bytes());
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<std::vector<std::string>> peer_urls(const std::vector<std::string>& given) {
  std::vector<std::string> urls;
  for (const std::string& each : given) {
    const std::string_view url = trimmed(each);
    if (!valid_url(url)) return std::nullopt;
    urls.emplace_back(url);
  }
  if (urls.empty()) return std::nullopt;
  std::ranges::sort(urls);
  return urls;
}

std::optional<ApiError> check_adding_voter(const MembersSeen& seen) {
  const size_t before = count_voters(seen);
  // Growing from one is how a cluster comes back from a backup.
  if (before == 1 && count_started(seen) == 1) return std::nullopt;
  if (count_started(seen) < majority(before + 1)) return ApiError::not_enough_started;
  if (count_connected(seen) < majority(before + 1)) return ApiError::unhealthy;
  return std::nullopt;
}

std::optional<ApiError> check_removing(const MembersSeen& seen, NodeId leaving) {
  const auto member = std::ranges::find(seen.members, leaving, &node::MemberView::id);
  if (member != seen.members.end() && !votes(*member)) return std::nullopt;
  const size_t before = count_voters(seen);
  const size_t after = member == seen.members.end() ? before : before - 1;
  if (count_started(seen, leaving) < majority(after)) return ApiError::not_enough_started;
  const bool away = member == seen.members.end() || !member->connected_since;
  if (leaving != seen.self && away) return std::nullopt;  // it is no part of the active majority
  if (count_connected(seen) < 1 + majority(after)) return ApiError::unhealthy;
  return std::nullopt;
}

std::optional<ApiError> check_promoting(const MembersSeen& seen) {
  if (count_started(seen) + 1 < majority(count_voters(seen) + 1)) {
    return ApiError::not_enough_started;
  }
  return std::nullopt;
}

}  // namespace quorate::front::etcd
