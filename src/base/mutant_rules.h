// base/mutant_rules.h: planted bugs that a rule of their own must notice: it holds without the bug
// and fails with it. Only for tests compiled with QUORATE_MUTANTS.
#pragma once

#include <gtest/gtest.h>

#include <span>

#include "base/mutant_report.h"

namespace quorate {

struct MutantRule {
  Mutant mutant;
  bool (*holds)();
};

inline void expect_each_is_noticed(std::span<const MutantRule> rules) {
  for (const MutantRule& rule : rules) {
    active_mutant = Mutant::none;
    const bool honest = rule.holds();
    active_mutant = rule.mutant;
    const bool broken = rule.holds();
    active_mutant = Mutant::none;
    EXPECT_TRUE(honest) << name_of(rule.mutant);
    EXPECT_FALSE(broken) << name_of(rule.mutant);
    report_mutant(rule.mutant, honest && !broken);
  }
}

}  // namespace quorate
