#include "sim/registers/run.h"

#include "check/check.h"
#include "sim/registers/world.h"

namespace quorate::sim::registers {

Outcome run(uint64_t seed) {
  World world(seed);
  world.play();
  Outcome outcome;
  outcome.totals = world.totals();
  if (!world.all_served()) {
    outcome.broken = "somebody was still not served long after all trouble had ended";
    return outcome;
  }
  if (outcome.totals.full != 0) {
    outcome.broken = "one of two registers was said to be one too many";
    return outcome;
  }
  const check::Verdict verdict = check::check_history(world.history(), check::Judge::registers, {});
  if (verdict.linearizable == check::Decision::yes) return outcome;
  outcome.broken = verdict.findings.empty()
                       ? "the checker cannot tell: " + verdict.why_undecided
                       : verdict.findings.front().rule + ": " + verdict.findings.front().words;
  return outcome;
}

}  // namespace quorate::sim::registers
