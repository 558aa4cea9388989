// app/etcdctl/go_text.h: texts in the forms that etcdctl's users parse, which are Go's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace quorate::app::etcdctl {

std::string json_text(std::string_view text);                // quoted; <, > and & escaped too
std::string quoted(std::string_view bytes);                  // as a literal
std::string hex_bytes(std::string_view bytes);               // \x61\x62
std::string duration_text(Duration duration);                // 1.5ms
std::string size_text(int64_t bytes);                        // 20 kB
std::string hex16(uint64_t number);                          // sixteen digits
std::optional<Duration> duration_of(std::string_view text);  // 5s, 1m30s, 100ms; or seconds

// Rows under titles in a frame: titles centred, cells to the right, long cells wrapped at blanks.
std::string framed(const std::vector<std::string>& titles,
                   const std::vector<std::vector<std::string>>& rows);

}  // namespace quorate::app::etcdctl
