#include "front/etcd/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace quorate::front::etcd {
namespace {

struct MemoryBytes {
  uint64_t mapped = 0;
  uint64_t resident = 0;
};
MemoryBytes memory_bytes() {
  std::ifstream file("/proc/self/statm");
  MemoryBytes pages;
  file >> pages.mapped >> pages.resident;
  const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return {pages.mapped * page_bytes, pages.resident * page_bytes};
}

uint64_t open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count < 3 ? 0 : count - 3;  // ".", ".." and the listing's own
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto as_seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return as_seconds(usage.ru_utime) + as_seconds(usage.ru_stime);
}

// To the millisecond, which a page's usual form of numbers would cut off.
std::string clock_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.3f", std::chrono::duration<double>(now).count());
  return text.data();
}

// Field 22 of /proc/self/stat counts clock ticks since the machine started.
double start_seconds() {
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  std::ifstream system("/proc/stat");
  std::string word;
  double boot = 0;
  while (system >> word) {
    if (word == "btime") {
      system >> boot;
      break;
    }
  }
  size_t position = line.rfind(')');  // the name before it may hold anything
  for (int field = 2; field < 22 && position != std::string::npos; ++field) {
    position = line.find(' ', position + 1);
  }
  if (position == std::string::npos) return boot;
  const double ticks = std::strtod(line.c_str() + position, nullptr);
  return boot + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

void render_process(MetricsPage& page) {
  const MemoryBytes memory = memory_bytes();
  page.gauge("process_resident_memory_bytes", "Resident memory.", memory.resident);
  page.gauge("process_virtual_memory_bytes", "Mapped memory.", memory.mapped);
  page.family("process_cpu_seconds_total", "CPU time, user and system.", "counter");
  page.sample("process_cpu_seconds_total", {}, seconds_text(cpu_seconds()));
  const uint64_t descriptors = open_descriptors();
  page.gauge("process_open_fds", "Open file descriptors.", descriptors);
  page.gauge("os_fd_used", "Open file descriptors.", descriptors);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  page.gauge("process_max_fds", "Limit of open file descriptors.", limit.rlim_cur);
  page.gauge("os_fd_limit", "Limit of open file descriptors.", limit.rlim_cur);
  page.family("process_start_time_seconds", "Start of the process since 1970.", "gauge");
  page.sample("process_start_time_seconds", {}, seconds_text(start_seconds()));
  page.family("quorate_clock_seconds", "This member's clock; compare them between members.",
              "gauge");
  page.sample("quorate_clock_seconds", {}, clock_seconds());
}

}  // namespace quorate::front::etcd
