// base/mutant_report.h: how a test of planted bugs tells the bug bank which it noticed. Only for
// tests compiled with QUORATE_MUTANTS; mutant_hunt reads these lines.
#pragma once

#include <cstdio>

#include "base/mutant.h"

namespace quorate {

inline const char* name_of(Mutant mutant) {
  switch (mutant) {
    case Mutant::none:
      return "none";
#define QRT_MUTANT_ROW(name, text) \
  case Mutant::name:               \
    return #name;
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
  }
  return "?";
}

// "MUTANT D03 noticed": on a line of its own.
inline void report_mutant(Mutant mutant, bool noticed) {
  std::printf("MUTANT %s %s\n", name_of(mutant), noticed ? "noticed" : "missed");
  std::fflush(stdout);
}

}  // namespace quorate
