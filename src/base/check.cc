#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace quorate {
namespace {
CheckObserver observer_in_force = nullptr;
}

void set_check_observer(CheckObserver observer) { observer_in_force = observer; }

void check_failed(const char* condition, const char* reason, const char* file, int line) {
  char text[1024];
  std::snprintf(text, sizeof text, "CHECK failed: %s (%s) at %s:%d", condition, reason, file, line);
  if (observer_in_force != nullptr) observer_in_force(text);
  std::fprintf(stderr, "%s\n", text);
  std::abort();
}

}  // namespace quorate
