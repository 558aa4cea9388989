// check/model.h: what a correct store would do, as the search for an order asks for it.
//
// States are interned: equal states have equal numbers, so that the search can remember which
// (set of operations done, state) it has already tried. A model judges an operation by its answer:
// a step is possible only if the store, in that state, would have answered so. An operation of
// unknown outcome has no answer and is judged by its effect alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace quorate::check {

using StateId = uint32_t;

class Model {
 public:
  virtual ~Model() = default;
  virtual StateId initial() = 0;
  // The state after `operation` (its place in History::operations()), or nothing if a correct
  // store in `state` could not have answered so.
  virtual std::optional<StateId> step(StateId state, uint32_t operation) = 0;
  // For explanations: what the store holds.
  virtual std::string describe(StateId state) const = 0;
  virtual size_t bytes() const = 0;
};

}  // namespace quorate::check
