// check/test_histories.h: random histories of a correct store, and what was true in it, for tests
// and benchmarks of the checkers.
//
// Processes call, the store takes each call at some moment between its call and its answer, answers
// get lost, leases run out, watches lag behind, break and resume. The store here is written on its
// own, so that it does not share mistakes with the checkers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "check/history.h"
#include "check/history_text.h"
#include "check/record.h"

namespace quorate::check {

struct TestWorld {
  uint64_t seed = 1;
  uint64_t calls = 100;
  uint32_t processes = 5;
  uint64_t keys = 4;
  uint64_t range_keys = 0;  // ranges cover about so many keys; 0: all of them
  uint64_t unknown_per_million = 0;
  uint64_t failed_per_million = 0;
  uint64_t few_values_per_million = 200'000;  // puts that repeat one of few values
  bool plain = false;                         // register and log calls only, without revisions
  bool appends = false;
  bool transactions = true;
  bool serializable = true;
  bool leases = false;
  uint32_t watches = 0;
  bool old_reads = true;
  bool notes = false;  // record who made revisions, as a simulator does
};

struct TrueEvent {
  int64_t revision = 0;
  bool erased = false;
  Row row;  // of a deletion: key and mod only
  std::optional<Row> previous;
};

struct TestHistory {
  std::vector<TimedRecord> records;
  std::vector<TrueEvent> events;
  std::map<std::string, Row> rows_at(int64_t revision) const;
};

TestHistory make_history(const TestWorld& world);
// For large ones: the records go to `sink` only.
void make_history(const TestWorld& world, Recorder& sink);
History loaded(const TestHistory& history);

}  // namespace quorate::check
