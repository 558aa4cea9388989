// What libFuzzer's own main() calls. QUORATE_FUZZ_TARGET names the target.
#include <cstdio>
#include <cstdlib>

#include "target.h"

namespace {

const quorate::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("QUORATE_FUZZ_TARGET");
  chosen = quorate::fuzz::find_target(name == nullptr ? "" : name);
  if (chosen != nullptr) return 0;
  std::fprintf(stderr, "QUORATE_FUZZ_TARGET must name one of:\n");
  for (const auto& target : quorate::fuzz::targets()) {
    std::fprintf(stderr, "  %-18s %s\n", std::string(target.name).c_str(),
                 std::string(target.what).c_str());
  }
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  chosen->function(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
