// tests/differential/shrink.h: a list of operations that leads to a difference, made shorter.
//
// Parts are left out, halves first, as long as a difference of the same kind remains (Zeller's
// delta debugging). Each attempt needs two servers without data, so there is an end to trying.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "operation.h"

namespace quorate::differential {

// Where in the list the difference shows, if it does.
using Attempt = std::function<std::optional<size_t>(const std::vector<Operation>& operations)>;

std::vector<Operation> shrink(std::vector<Operation> operations, const Attempt& attempt,
                              std::chrono::seconds patience);

}  // namespace quorate::differential
