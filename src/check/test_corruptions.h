// check/test_corruptions.h: ways in which a store or a recorder may lie, done to correct histories.
// Each makes a history that no correct store can have; a checker that accepts one is broken.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "check/test_histories.h"

namespace quorate::check {

struct Corruption {
  std::string_view name;
  // False: this history offers no place for it; it is then unchanged.
  bool (*apply)(TestHistory& history, Rng& rng);
  // It shows in values alone, so that a checker which knows no revisions must see it too.
  bool in_plain = false;
};

// Of calls and answers, with unique values written.
std::vector<Corruption> call_corruptions();
std::vector<Corruption> watch_corruptions();
std::vector<Corruption> lease_corruptions();

}  // namespace quorate::check
