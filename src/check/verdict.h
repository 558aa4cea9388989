// check/verdict.h: what a checker says.
//
// A finding is a contradiction: operations whose answers no correct store can have given, whatever
// else happened. It names as few of them as the checker can, and says in words why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/search.h"

namespace quorate::check {

inline constexpr uint32_t kNobody = ~uint32_t{0};

struct Finding {
  std::string rule;                          // which promise is broken, in a few words
  std::string words;                         // why, in sentences
  std::vector<uint32_t> operations = {};     // in the order of invocation
  std::vector<uint32_t> watch_replies = {};  // likewise
  uint32_t wrong = kNobody;  // of the operations, the one whose answer cannot be; kNobody: open
};

struct Verdict {
  std::string model;  // register, kv or etcd
  Decision linearizable = Decision::undecided;
  std::vector<Finding> findings;  // the smallest first
  uint64_t findings_left_out = 0;
  std::string why_undecided;
  // What was looked at.
  uint64_t operations = 0;
  uint64_t unknown = 0;  // of these, of unknown outcome
  uint64_t failed = 0;   // of these, surely not applied
  uint64_t skipped = 0;  // of these, not judged: the model promises nothing about them
  uint64_t keys = 0;
  uint64_t watches = 0;
  uint64_t steps = 0;  // questions asked to the model
};

struct CheckLimits {
  SearchLimits search;                       // for each key
  uint64_t smaller_steps_max = 100'000'000;  // for making a contradiction smaller
  uint64_t replay_steps_max = 50'000'000;    // or 20 for each operation, if that is more
  size_t findings_max = 100;
};

}  // namespace quorate::check
