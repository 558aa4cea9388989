#include "app/explore_synod.h"

#include <cstdio>
#include <ctime>

#include "app/exit_codes.h"
#include "explore/synod/report.h"

namespace quorate::app {
namespace {

constexpr uint64_t kCircles = 1000;
constexpr uint64_t kRuns = 1000;

double cpu_time() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

}  // namespace

int run_explore_synod(double minutes, bool json) {
  namespace synod = explore::synod;
  synod::Limits limits;
  const double ends = cpu_time() + minutes * 60;
  limits.interrupt = [ends](uint64_t) { return cpu_time() > ends; };
  synod::Scope with_crash;
  synod::Scope without_crash;
  without_crash.rounds = 3;
  without_crash.crashes = 0;
  bool broken = false;
  if (!json) std::printf("%s\n", synod::table_head().c_str());
  for (const synod::Scope& scope : {without_crash, with_crash}) {
    const double began = cpu_time();
    const synod::Report report = synod::explore(scope, limits);
    const double took = cpu_time() - began;
    broken = broken || !report.broken.empty();
    std::printf("%s\n",
                json ? synod::json(report, took).c_str() : synod::table_row(report, took).c_str());
    if (!json) std::printf("%s", synod::details(report).c_str());
    std::fflush(stdout);
  }
  const synod::Duel duel = synod::find_endless_duel(kCircles);
  const auto remedies = synod::measure_remedies(kRuns);
  if (json) {
    std::printf("%s\n%s\n", synod::json(duel).c_str(), synod::json(remedies).c_str());
  } else {
    std::printf("\n%s\n%s", synod::story(duel).c_str(), synod::table(remedies).c_str());
  }
  return broken ? kExitRefused : kExitOk;
}

}  // namespace quorate::app
