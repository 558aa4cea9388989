// The core's own tests, compiled with the planted bugs: the environment names the one to play.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/mutant.h"

namespace quorate {
namespace {

Mutant chosen() {
  const char* wanted = std::getenv("QUORATE_MUTANT");
  if (wanted == nullptr || std::string_view(wanted) == "none") return Mutant::none;
#define QRT_MUTANT_ROW(name, text) \
  if (std::string_view(wanted) == #name) return Mutant::name;
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
  std::fprintf(stderr, "no planted bug is called %s\n", wanted);
  std::exit(2);
}

}  // namespace

Mutant active_mutant = chosen();

}  // namespace quorate
