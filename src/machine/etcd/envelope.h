// machine/etcd/envelope.h: the frame around commands and queries, as the machine opens it.
//
// The first byte of a command is the format: a log may hold commands written by an older
// version, and a command of a newer one must be recognised instead of misread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "machine/etcd/commands.h"

namespace quorate::machine::etcd {

inline constexpr uint8_t kCommandFormat = 1;          // nobody says who asks
inline constexpr uint8_t kCommandOfCallerFormat = 2;  // the caller stands before the request
// A member that publishes more addresses than this is refused as malformed: the list is kept in
// the store for ever.
inline constexpr uint64_t kClientUrlsMax = 64;

struct OpenedCommand {
  CommandKind kind = CommandKind::put;
  Caller caller;
  std::string_view request;
};
struct OpenedQuery {
  QueryKind kind;
  std::string_view request;
};

// nullopt: not a command (query) this version knows.
std::optional<OpenedCommand> open_command(std::string_view command);
std::optional<OpenedQuery> open_query(std::string_view query);
std::optional<MemberAttributes> decode_member_attributes(std::string_view bytes);
std::string encode_member_attributes_list(const std::vector<MemberAttributes>& members);

}  // namespace quorate::machine::etcd
