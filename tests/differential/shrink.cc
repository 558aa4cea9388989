#include "shrink.h"

#include <algorithm>

namespace quorate::differential {

std::vector<Operation> shrink(std::vector<Operation> operations, const Attempt& attempt,
                              std::chrono::seconds patience) {
  const auto end_of_tries = std::chrono::steady_clock::now() + patience;
  for (size_t part = std::max<size_t>(operations.size() / 2, 1); part > 0; part /= 2) {
    size_t begin = 0;
    while (begin < operations.size() && operations.size() > 1 &&
           std::chrono::steady_clock::now() < end_of_tries) {
      const size_t end = std::min(begin + part, operations.size());
      std::vector<Operation> candidate(operations.begin(),
                                       operations.begin() + static_cast<ptrdiff_t>(begin));
      candidate.insert(candidate.end(), operations.begin() + static_cast<ptrdiff_t>(end),
                       operations.end());
      const std::optional<size_t> at = attempt(candidate);
      if (at) {
        candidate.resize(std::min(*at + 1, candidate.size()));
        operations = std::move(candidate);
      } else {
        begin = end;
      }
    }
  }
  return operations;
}

}  // namespace quorate::differential
