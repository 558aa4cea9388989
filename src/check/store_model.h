// check/store_model.h: a whole etcd-shaped store as one object, for the search of an order.
//
// Revisions couple all keys, so such a store cannot be split by key, and searching whole histories
// is slow: this is for windows of up to about two thousand operations, as an independent second
// opinion on the revision-guided check. It shares no code with that one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/model.h"
#include "check/search.h"

namespace quorate::check {

class StoreModel : public Model {
 public:
  explicit StoreModel(const History& history);
  StateId initial() override { return 0; }
  std::optional<StateId> step(StateId state, uint32_t operation) override;
  std::string describe(StateId state) const override;
  size_t bytes() const override { return bytes_; }

 private:
  using Rows = std::map<std::string_view, Item>;  // by key
  struct State {
    int64_t revision = 1;
    Rows rows;
    StateId before = 0;  // the store at the revision before; itself for the first
  };

  bool holds(const Rows& rows, const Comparison& condition) const;
  // False: a correct store could not have answered so.
  bool apply(State& next, const State& now, const Step& step, bool judged, bool& changed) const;
  bool read(const State& now, StateId before, const Step& step) const;
  bool shows(const std::vector<Item>& found, const Step& step) const;
  std::vector<Item> found(const Rows& rows, TextId key, TextId end) const;
  const Rows* rows_at(const State& now, StateId before, int64_t revision) const;
  StateId intern(State state);

  const History& history_;
  std::vector<State> states_;
  std::map<std::string, StateId> numbers_;  // by content
  size_t bytes_ = 0;
};

// The whole store's operations in one search. Reads that may be old, and calls about leases, are
// left out.
SearchResult search_store(const History& history, const SearchLimits& limits);

}  // namespace quorate::check
