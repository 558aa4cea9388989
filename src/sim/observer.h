// sim/observer.h: what a run shows to whoever draws it, writes it down or shrinks it.
//
// Two views. An Observer is told what happens inside (messages, writes, roles) for space-time
// diagrams. A Recorder is told what was done to the cluster from outside, as lines of a scenario
// (tests/scenarios/README.md): played again with the same seed they are the same run. Both are
// absent in ordinary runs and then cost nothing.
#pragma once

#include <cstdint>
#include <string>

namespace quorate::sim {

enum class HappeningKind : uint8_t {
  sent,      // number: of the message, peer: to whom
  received,  // number: of the message, peer: from whom
  lost,      // number: of the message, peer: to whom
  writes,    // number: of the write
  durable,   // number: of the newest durable write
  state,     // text: role and term
  commits,   // number: the index
  started,
  crashed,
  wiped,
  paused,
  resumed,
  action,    // text: what was done from outside; node: kNobody
  violated,  // text: the broken rule
};
inline constexpr uint64_t kNobody = UINT64_MAX;

struct Happening {
  int64_t time = 0;  // nanoseconds
  HappeningKind kind = HappeningKind::action;
  uint64_t node = kNobody;  // position in the cluster
  uint64_t peer = kNobody;
  uint64_t number = 0;
  std::string text;
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void saw(const Happening& happening) = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  // `line` is an action as a scenario writes it, without its time.
  virtual void did(int64_t time, std::string line) = 0;
};

}  // namespace quorate::sim
