// check/apply.h: an operation takes effect in a store, and its answer is compared with what a
// correct store would have answered: values, revisions, versions, counts, conditions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "check/history.h"
#include "check/key_table.h"
#include "check/versioned_store.h"

namespace quorate::check {

enum class Difference : uint8_t {
  row,          // a key is shown otherwise than it was
  missing,      // a key is not shown
  extra,        // a key is shown that was not there
  count,        // number of keys found or deleted
  condition,    // the transaction took the wrong branch
  changed,      // changed something, though its revision belongs to another write
  future,       // answered for a revision that did not exist yet
  nothing_kept  // kept the value or lease of a key that was not there
};

struct Mismatch {
  Difference difference = Difference::row;
  TextId key = kNoText;                      // on which it shows, if on one
  std::optional<Item> shown = std::nullopt;  // as the answer has it
  std::optional<Item> correct = std::nullopt;
  int64_t shown_number = 0;
  int64_t correct_number = 0;
  int64_t revision = 0;  // of the state it is about
};

struct Applied {
  bool changed = false;
  std::optional<Mismatch> mismatch;  // the first
};

enum class Changing : uint8_t { allowed, forbidden };

class Applier {
 public:
  Applier(const History& history, const KeyTable& keys, VersionedStore& store)
      : history_(history), keys_(keys), store_(store) {}

  // Changes are made at `revision`. An operation without an answer is not judged. When there is a
  // mismatch, changes were made as far as they make sense.
  Applied apply(const Operation& operation, int64_t revision, Changing changing);

 private:
  bool holds(const Comparison& condition) const;
  void apply_step(const Step& step);
  void read(const Step& step);
  void put(const Step& step);
  void erase(const Step& step);
  void erase_rank(Rank rank);
  // The rows of an answer against the keys that should be shown.
  void compare_rows(const Step& step, int64_t revision);
  void compare_row(const Item& item, Rank rank, const Version& version, int64_t revision);
  void differ(Mismatch mismatch);
  bool may_change();
  Item item_of(Rank rank, const Version& version) const;

  const History& history_;
  const KeyTable& keys_;
  VersionedStore& store_;
  std::vector<Rank> present_;  // of the step under way
  Applied result_;
  int64_t revision_ = 0;
  bool judged_ = false;
  bool forbidden_ = false;
};

// Whether a recorded row agrees with a version; what was not recorded agrees with anything.
bool agrees(const Item& item, const Version& version);

// `get "a" -> "1" ...` is wrong because: one sentence.
std::string explain(const History& history, const Mismatch& mismatch);

}  // namespace quorate::check
