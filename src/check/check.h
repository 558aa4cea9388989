// check/check.h: the front door: a history, whatever its format, and a verdict.
#pragma once

#include <optional>
#include <string_view>

#include "check/foreign_formats.h"
#include "check/verdict.h"

namespace quorate::check {

// Registers and key-value logs are judged by the same model; the names say what people look for.
enum class Judge : uint8_t { automatic, registers, key_value, etcd };
std::optional<Judge> judge_named(std::string_view name);

// Automatic: etcd if answers carry revisions or there are ranges, leases or watches; else by key.
Verdict check_history(const History& history, Judge judge, const CheckLimits& limits);

}  // namespace quorate::check
