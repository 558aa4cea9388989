// sim/full/lease_rules.h: what a lease promises, held against the time that is true.
//
// Nobody but a client may end a lease before its time is over: its whole time after its grant was
// applied anywhere, and after a renewal was asked for that was answered. Leaders may change, stand
// still and be replaced: it may end late, never early. By true time that holds as far as clocks
// keep their bound: what they may run fast, and the jumps they made meanwhile, are taken off.
// Whether a lease is there is linearizable: an answer must fit a moment between question and
// answer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"

namespace quorate::sim::full {

class LeaseRules {
 public:
  // `drift_max`: parts per million that a clock may run fast.
  void set_drift(uint64_t drift_max) { drift_max_ = drift_max; }
  void on_clock_step(Time now, Duration step) { steps_.emplace_back(now, step); }

  // As the first member to apply the entry shows it. What comes back is a broken rule, or nothing.
  void on_granted(Time now, int64_t lease, int64_t seconds);
  std::string on_ended(Time now, int64_t lease, bool by_client);

  // What a client heard of one that it asked about at `asked`.
  std::string on_renewed(Time asked, int64_t lease, int64_t granted_seconds);
  std::string on_seen(Time asked, int64_t lease, int64_t granted_seconds) const;
  std::string on_absent(Time asked, int64_t lease) const;

  size_t alive() const { return alive_; }
  uint64_t expired() const { return expired_; }
  uint64_t renewed() const { return renewed_; }

 private:
  struct Life {
    int64_t seconds = 0;
    Time began;
    Time basis;  // it has its whole time from then on
    std::optional<Time> ended;
    bool by_client = false;
  };
  using Lives = std::vector<Life>;  // of one id, one after the other

  // It must not end before.
  Time ends_at_the_earliest(const Life& life) const;
  bool ended_early(const Life& life) const;
  const Lives* lives_of(int64_t lease) const;
  static std::string name_of(int64_t lease) { return "lease " + std::to_string(lease); }

  uint64_t drift_max_ = 0;
  std::vector<std::pair<Time, Duration>> steps_;
  std::map<int64_t, Lives> lives_;
  size_t alive_ = 0;
  uint64_t expired_ = 0;
  uint64_t renewed_ = 0;
};

}  // namespace quorate::sim::full
