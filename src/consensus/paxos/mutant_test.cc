// Plays the core's tests once for each of its planted bugs (docs/decisions/0003): what passes with
// a bug has missed it. Without a bug all of them must pass, or a failure would prove nothing.
#include "base/mutant.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "base/mutant_report.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace {

// A run takes two seconds; a bug may keep it from ending at all.
constexpr rlim_t kCpuSecondsMax = 30;

struct Row {
  Mutant mutant;
  std::string_view room;
};

// 0: passed.
int play(Mutant mutant) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit cpu{kCpuSecondsMax, kCpuSecondsMax};
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &no_core);
    const bool silent = std::freopen("/dev/null", "w", stdout) != nullptr &&
                        std::freopen("/dev/null", "w", stderr) != nullptr;
    active_mutant = mutant;
    GTEST_FLAG_SET(break_on_failure, mutant != Mutant::none);
    _exit(silent ? RUN_ALL_TESTS() : 2);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child) return 1;
  return status;
}

int play_all() {
  if (play(Mutant::none) != 0) {
    std::fprintf(stderr, "the tests do not pass without a planted bug, so they prove nothing\n");
    return 1;
  }
  const Row rows[] = {
#define QRT_MUTANT_ROOM(name) {Mutant::none, name},
#define QRT_MUTANT_ROW(name, text) {Mutant::name, ""},
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
#undef QRT_MUTANT_ROOM
  };
  bool ours = false;
  for (const Row& row : rows) {
    if (!row.room.empty()) ours = row.room == "paxos";
    if (row.room.empty() && ours) report_mutant(row.mutant, play(row.mutant) != 0);
  }
  return 0;
}

}  // namespace
}  // namespace quorate

int main(int count, char** words) {
  testing::InitGoogleTest(&count, words);
  return quorate::play_all();
}
