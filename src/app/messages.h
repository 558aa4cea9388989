// app/messages.h: the answers of Maintenance.Status and of the Cluster service, as the client
// reads them. Owning structs: these are few and for people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::app {

struct MemberStatus {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;
  std::string version;
  int64_t store_bytes = 0;
  uint64_t leader = 0;
  uint64_t index = 0;
  uint64_t term = 0;
  uint64_t applied = 0;
  std::vector<std::string> errors;
  bool learner = false;
  std::string protocol;  // empty: not a Quorate, or an old one
};

struct MemberEntry {
  uint64_t id = 0;
  std::string name;
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;
  bool learner = false;
};

std::optional<MemberStatus> decode_status(std::string_view wire);
std::optional<std::vector<MemberEntry>> decode_member_list(std::string_view wire);
struct AddedMember {
  uint64_t cluster_id = 0;
  MemberEntry member;
  std::vector<MemberEntry> members;
};
std::optional<AddedMember> decode_member_added(std::string_view wire);

}  // namespace quorate::app
