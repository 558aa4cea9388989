// check/words.h: how verbs, targets and relations are written, in files and in explanations.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "check/record.h"

namespace quorate::check {

inline constexpr std::array<std::string_view, 9> kVerbWords = {
    "get", "put", "append", "delete", "grant", "revoke", "keep_alive", "time_to_live", "compact"};
inline constexpr std::array<std::string_view, 5> kTargetWords = {"value", "version", "create",
                                                                 "mod", "lease"};
inline constexpr std::array<std::string_view, 4> kRelationWords = {"=", "!=", "<", ">"};

template <class Kind, size_t count>
std::string_view word_of(const std::array<std::string_view, count>& words, Kind kind) {
  return words[static_cast<size_t>(kind)];
}

template <class Kind, size_t count>
std::optional<Kind> kind_of(const std::array<std::string_view, count>& words,
                            std::string_view word) {
  for (size_t i = 0; i < count; ++i) {
    if (words[i] == word) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

// In double quotes, one line of well-formed UTF-8 whatever the bytes are.
std::string quoted(std::string_view text);

}  // namespace quorate::check
