// machine/etcd/position_row.h: the row that says how far a store reaches in the log, as bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "machine/state_machine.h"

namespace quorate::machine::etcd {

inline constexpr std::string_view kPositionKey = "mposition";

std::string encode_position(const AppliedPosition& position);
// Of a store that has no such row: nothing is applied yet.
Result<AppliedPosition> decode_position(const std::optional<std::string>& text);

}  // namespace quorate::machine::etcd
