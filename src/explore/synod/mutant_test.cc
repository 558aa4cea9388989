// Each planted bug of the synod must be found by the exploration, and the same bounds must show
// nothing without one.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/mutant_report.h"
#include "explore/synod/report.h"
#include "explore/synod/scope.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace explore::synod {
namespace {

struct Broken {
  std::string text;
};

void throw_on_check(const char* text) { throw Broken{text}; }

std::string broken_rule() {
  set_check_observer(throw_on_check);
  std::string found;
  try {
    const Report report = explore({}, {});
    found = report.broken;
    EXPECT_TRUE(!found.empty() || report.exhausted());
    std::printf("%s\n%s", table_row(report, 0).c_str(), details(report).c_str());
  } catch (const Broken& broken) {
    found = broken.text;
  }
  set_check_observer(nullptr);
  return found;
}

class SynodMutant : public testing::TestWithParam<Mutant> {
 protected:
  ~SynodMutant() override { active_mutant = Mutant::none; }
};

TEST_P(SynodMutant, IsFound) {
  active_mutant = GetParam();
  const std::string rule = broken_rule();
  report_mutant(active_mutant, !rule.empty());
  EXPECT_NE(rule, "");
}

INSTANTIATE_TEST_SUITE_P(All, SynodMutant,
                         testing::Values(Mutant::N09_SYNOD, Mutant::X01_SYNOD,
                                         Mutant::X01_SYNOD_STALE, Mutant::X02_SYNOD,
                                         Mutant::X03_SYNOD, Mutant::X03_SYNOD_ACCEPT,
                                         Mutant::X04_SYNOD, Mutant::X04_SYNOD_LEARN,
                                         Mutant::X04_SYNOD_OWN),
                         [](const auto& parameter) { return name_of(parameter.param); });

TEST(SynodWithoutBug, NothingIsBroken) { EXPECT_EQ(broken_rule(), ""); }

}  // namespace
}  // namespace explore::synod
}  // namespace quorate
