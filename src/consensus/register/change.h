// consensus/register/change.h: what a client wants of a register, and what became of it.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "consensus/register/message.h"

namespace quorate::consensus::caspaxos {

struct Get {};
struct Set {
  Bytes value;
};
struct CompareAndSet {
  std::optional<Bytes> expected;  // empty: that the register was never written
  Bytes value;
};
using Change = std::variant<Get, Set, CompareAndSet>;

// The cell after the change; nothing: it stays as it is.
std::optional<Cell> apply(const Change& change, const Cell& cell, const ProposalId& id);
bool is_read(const Change& change);

enum class Verdict : uint8_t {
  applied,      // a get: the value is the newest there was
  mismatch,     // of a compare-and-set: the value is another one, and stays
  not_applied,  // surely not, now or later
  unknown       // may or may not be; perhaps later
};
enum class Why : uint8_t { none, too_large, busy, full, timed_out, stopped };

struct Outcome {
  Verdict verdict = Verdict::not_applied;
  Why why = Why::none;   // of not_applied
  uint64_t version = 0;  // applied: that the change made, or the newest; mismatch: the newest
  Bytes value;           // of that version; of a change that found itself again, what it wrote
  bool operator==(const Outcome&) const = default;
};

}  // namespace quorate::consensus::caspaxos
