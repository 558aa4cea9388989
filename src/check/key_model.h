// check/key_model.h: one key of a register or a key-value log: get, put, append, delete and
// compare-and-swap by value. Revisions are not looked at: keys are independent of each other here,
// and revisions are what couples them (check/revision_check.h judges those).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "check/history.h"
#include "check/model.h"

namespace quorate::check {

class KeyModel : public Model {
 public:
  KeyModel(const History& history, TextId key);
  StateId initial() override { return initial_; }
  std::optional<StateId> step(StateId state, uint32_t operation) override;
  std::string describe(StateId state) const override;
  size_t bytes() const override { return values_.bytes(); }

 private:
  static constexpr StateId kAbsent = 0;  // other states: one more than the number of the value
  bool holds(StateId state, const Comparison& condition) const;
  std::optional<StateId> apply(StateId state, const Step& step, bool judged);
  bool shows(StateId state, const Step& step) const;
  std::string_view value(StateId state) const { return values_.view(state - 1); }
  StateId state_of(std::string_view text) { return values_.add(text) + 1; }

  const History& history_;
  Texts values_;
  StateId initial_ = kAbsent;
};

// Why the operation cannot be judged key by key; nothing if it can. `key` is then its key.
std::optional<std::string> key_of(const History& history, const Operation& operation, TextId& key);

}  // namespace quorate::check
