// base/mutant.h: planted bugs. Each ★ row of the hazard catalogue is a place in the code where
// one rule is broken on purpose, so that the tests can prove that they would notice.
//
// `if (QRT_MUTANT(R04)) ...` is the constant false in every product build: no mutant can be
// switched on there. Only the targets compiled with QUORATE_MUTANTS (the bug hunter) contain
// them, and one build of those can play each in turn (docs/decisions/0003).
#pragma once

namespace quorate {

enum class Mutant {
  none,
#define QRT_MUTANT_ROW(name, text) name,
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
};

#ifdef QUORATE_MUTANTS
extern Mutant active_mutant;  // defined by the bug hunter
#define QRT_MUTANT(name) (::quorate::active_mutant == ::quorate::Mutant::name)
#else
#define QRT_MUTANT(name) false
#endif

}  // namespace quorate
