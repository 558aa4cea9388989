// How many operations a second the checkers judge, on one core. Histories are drawn from a seed,
// so the numbers can be compared between builds.
//
//   check_bench [OPERATIONS]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "check/history_text.h"
#include "check/key_check.h"
#include "check/revision_check.h"
#include "check/test_histories.h"

namespace quorate::check {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void print(const char* what, uint64_t operations, double seconds) {
  std::printf("%-42s %9lu operations %8.3f s %11.0f /s\n", what,
              static_cast<unsigned long>(operations), seconds,
              static_cast<double>(operations) / seconds);
}

void by_revision(const char* what, const TestWorld& world) {
  History history;
  make_history(world, history);
  const Stopwatch stopwatch;
  const Verdict verdict = check_by_revision(history, {});
  print(what, world.calls, stopwatch.seconds());
  CHECK(verdict.linearizable == Decision::yes, "the history is of a correct store");
}

void by_key(const char* what, const TestWorld& world) {
  History history;
  make_history(world, history);
  const Stopwatch stopwatch;
  const Verdict verdict = check_by_key(history, {});
  print(what, world.calls, stopwatch.seconds());
  CHECK(verdict.linearizable == Decision::yes, "the history is of a correct store");
}

void text(uint64_t operations) {
  std::string file;
  HistoryWriter writer(file);
  make_history({.seed = 1, .calls = operations, .processes = 50, .keys = 1000, .old_reads = false},
               writer);
  const Stopwatch stopwatch;
  const Result<History> history = read_history(file);
  print("reading a file", operations, stopwatch.seconds());
  CHECK(history.has_value(), "what the writer wrote is readable");
}

int run(int argument_total, char** arguments) {
  const uint64_t operations =
      argument_total > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1'000'000;
  if (operations == 0) {
    std::fprintf(stderr, "check_bench [OPERATIONS]: a number of operations, 1000000 if none\n");
    return 2;
  }
  TestWorld world{.seed = 1,
                  .calls = operations,
                  .processes = 50,
                  .keys = 1000,
                  .range_keys = 5,
                  .old_reads = false};
  by_revision("revisions: 50 processes, 1000 keys", world);
  world.unknown_per_million = 1'000;
  by_revision("revisions: 0.1 % of outcomes unknown", world);
  world.unknown_per_million = 10'000;
  by_revision("revisions: 1 % of outcomes unknown", world);
  world.unknown_per_million = 0;
  world.keys = 10;
  by_revision("revisions: 10 keys", world);
  text(operations / 4);
  TestWorld plain{.seed = 1,
                  .calls = operations / 4,
                  .processes = 20,
                  .keys = 1000,
                  .unknown_per_million = 1'000,
                  .plain = true};
  by_key("by key: 20 processes, 1000 registers", plain);
  return 0;
}

}  // namespace
}  // namespace quorate::check

int main(int argument_total, char** arguments) {
  return quorate::check::run(argument_total, arguments);
}
