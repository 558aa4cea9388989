// What a disk takes to make a small write durable, as the log of a member does it all the time.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "app/doctor/facts.h"

namespace quorate::app::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWrites = 50;           // a second or two on a slow disk
constexpr size_t kWriteBytes = 4096;  // a small batch of the log
constexpr auto kTimeMax = std::chrono::seconds(5);

std::string time_writes(int descriptor, std::vector<Duration>& times) {
  const std::string block(kWriteBytes, 'q');
  const auto end = Clock::now() + kTimeMax;
  for (int number = 0; number < kWrites && Clock::now() < end; ++number) {
    const auto begun = Clock::now();
    if (::write(descriptor, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      return std::string("cannot write there: ") + std::strerror(errno);
    }
    if (::fdatasync(descriptor) != 0) return std::string("cannot sync: ") + std::strerror(errno);
    times.push_back(Clock::now() - begun);
  }
  std::ranges::sort(times);
  return {};
}

}  // namespace

DiskFacts try_disk(const std::string& directory) {
  DiskFacts facts;
  facts.directory = directory;
  struct statvfs space{};
  if (::statvfs(directory.c_str(), &space) != 0) {
    facts.problem = std::string("cannot be looked at: ") + std::strerror(errno);
    return facts;
  }
  facts.free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  facts.total_bytes = uint64_t{space.f_blocks} * space.f_frsize;
  // A file without a name: nothing is left behind whatever happens.
  const int descriptor = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    facts.problem = std::string("cannot write there: ") + std::strerror(errno);
    return facts;
  }
  std::vector<Duration> times;
  facts.problem = time_writes(descriptor, times);
  ::close(descriptor);
  if (times.empty()) return facts;
  facts.sync_typical = times[times.size() / 2];
  facts.sync_slowest = times.back();
  return facts;
}

}  // namespace quorate::app::doctor
