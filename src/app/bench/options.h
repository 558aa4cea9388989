// app/bench/options.h: what the flags of `quorate bench` say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/types.h"
#include "load/etcd_requests.h"
#include "load/runner.h"

namespace quorate::app::bench {

// Points of one sweep: each takes as long as a run.
inline constexpr size_t kSweepMax = 100;

struct Options {
  std::string workload;  // put, get, range, mixed, swap, txn-put, txn-mixed, watch, keep-alive
  uint32_t connections = 10;
  load::Plan plan;
  load::KeySpace space;
  load::ReadOptions reads;
  bool load_first = true;  // the keys that are read are written before
  unsigned reads_percent = 50;
  unsigned hot_percent = 0;
  uint32_t writes_each = 1;
  uint32_t watchers = 100;
  uint32_t streams = 10;
  uint64_t leases = 1000;
  int64_t lease_seconds = 3600;
  std::vector<double> sweep;  // rates; empty: one run as planned
  std::string plot_file;
  std::vector<int> servers;          // process ids
  std::vector<std::string> devices;  // empty: all disks
  std::string name;                  // of this system, in reports and plots
};

}  // namespace quorate::app::bench
