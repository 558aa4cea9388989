// sim/bug_bank.h: the planted bugs, and how each is hunted (docs/decisions/0003).
//
// Rows of the cores are played in the simulator, with the protocol they are planted in: by a few
// random lives and by the scenarios that name them, then by that core's own tests; those of Raft
// and of the shared parts by many lives at last: in the order of what it costs. Rows of other rooms
// belong to the tests compiled with them. Every run is a child process with bounds of its
// own, and what finds a bug is played without it too: there it must find nothing.
#pragma once

#include <string>
#include <vector>

#include "base/mutant.h"
#include "sim/shrink_run.h"

namespace quorate::sim {

struct BankRow {
  Mutant mutant = Mutant::none;
  const char* name = "";
  const char* text = "";
  const char* room = "";  // "core", or whose tests notice it: ROOM_mutant_test
};
std::vector<BankRow> bank_rows();

struct HuntLimits {
  uint64_t cpu_seconds = 20;  // for each bug and each of the ways to look for it
  uint64_t first_seed = 1;
  uint64_t seeds = 1'000;
  std::string programs;  // the directory of mutant_rules and the rooms' mutant tests
};

struct Finding {
  bool found = false;
  std::string by;   // "seed 7", "R07-....txt with seed 1", "the core's own tests"
  std::string how;  // the broken rule
  uint64_t runs = 0;
  int64_t cpu_microseconds = 0;
};

class Hunt;  // in bug_bank.cc

class BugBank {
 public:
  explicit BugBank(HuntLimits limits);
  // What is wrong before any bug is planted, or nothing: scenarios that cannot be read or name
  // unknown bugs, tests of the core that fail without one.
  std::string problem();
  Finding hunt(const BankRow& row);
  // The run that found it, made short (sim/shrink_run.h). `passes_without`: what the short scenario
  // does on the honest core, and must. Only for findings of the simulator.
  static bool can_shorten(const Finding& finding);
  ShortStory shorten(const BankRow& row, const Finding& finding, uint64_t cpu_seconds,
                     bool& passes_without);

 private:
  struct RoomTests {
    std::string room;
    std::vector<std::string> noticed;
    int64_t cpu_microseconds = 0;  // for each bug
    std::string problem;
  };
  // What shows a bug must be quiet without it; a finding that is not says so.
  void doubt(const BankRow& row, Finding& finding) const;
  void play(const BankRow& row, std::string (Hunt::*way)(), Finding& finding);
  void ask_core_tests(const BankRow& row, Finding& finding);
  Finding hunt_in_multi_paxos(const BankRow& row);
  Finding ask_room(const BankRow& row);
  const RoomTests& tests_of(const std::string& room);

  HuntLimits limits_;
  std::vector<RoomTests> rooms_;
};

// The rows of a turn: every bug's turn comes after rows / count turns at the latest.
std::vector<BankRow> rows_of_turn(const std::vector<BankRow>& rows, uint64_t count, uint64_t turn);

}  // namespace quorate::sim
