// load/outside.h: what servers cost, seen from outside: the same counters for every system.
//
// CPU, context switches and memory of processes named by their ids; flushes and writes of block
// devices. Read from /proc at the two ends of the window, so the servers need not take part.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace quorate::load {

struct ProcessUse {
  Duration cpu{};
  uint64_t context_switches = 0;  // of threads that still live
  uint64_t resident_bytes = 0;
};
struct DeviceUse {
  uint64_t flushes = 0;
  uint64_t writes = 0;
  uint64_t written_bytes = 0;
};
// Of all processes and devices together.
struct OutsideUse {
  ProcessUse processes;
  uint64_t largest_resident_bytes = 0;
  DeviceUse devices;
};

// Texts of /proc, hostile as far as they hold names that somebody chose.
Result<Duration> parse_cpu(std::string_view stat, long ticks_per_second);
uint64_t parse_context_switches(std::string_view status);
uint64_t parse_resident_bytes(std::string_view status);
Result<DeviceUse> parse_device(std::string_view diskstats, std::string_view device);

class Outside {
 public:
  // No devices named: every disk of this machine, none of its partitions.
  Outside(std::vector<int> processes, std::vector<std::string> devices);
  Result<void> open();   // the window opens
  Result<void> close();  // and closes
  // Between the two; memory as it was at the end.
  const OutsideUse& use() const { return use_; }
  const std::vector<std::string>& devices() const { return devices_; }
  size_t processes() const { return processes_.size(); }

 private:
  Result<OutsideUse> look() const;

  std::vector<int> processes_;
  std::vector<std::string> devices_;
  OutsideUse before_;
  OutsideUse use_;
};

}  // namespace quorate::load
