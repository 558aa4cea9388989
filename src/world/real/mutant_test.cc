// Each planted bug in the calls on files must be found by a rule that holds without it. The real
// kernel gives the short writes, the short reads and the interruptions.
#include "base/mutant.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/mutant_rules.h"
#include "world/real/files.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace world {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "quorate-mutants-XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// No file of this process grows beyond so many bytes: a write across them takes only a part.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int) = SIG_DFL;
};

bool what_is_said_to_be_written_is_there() {
  constexpr size_t kBytes = 8192;
  constexpr rlim_t kRoom = 5000;
  const Directory directory;
  const std::vector<uint8_t> data(kBytes, 7);
  auto file = make_file_disk()->open(directory.file("a"), OpenMode::create);
  if (!file) return false;
  const FileSizeLimit limit(kRoom);
  const bool said = (*file)->write_at(0, data).has_value();
  // Else the limit has not cut the write and nothing was tried.
  return !said && (*file)->size().value_or(0) == kRoom;
}

// The kernel hands this file out a page at a time, however much is asked for.
bool fewer_bytes_than_asked_mean_the_end() {
  constexpr size_t kBytes = size_t{4} << 20U;
  std::vector<uint8_t> target(kBytes);
  auto file = make_file_disk()->open("/proc/self/smaps", OpenMode::read);
  if (!file) return false;
  const auto count = (*file)->read_at(0, target);
  if (!count || *count == 0 || *count == kBytes) return false;
  const auto more = (*file)->read_at(*count, target);
  return more && *more == 0;
}

std::atomic<int> interruptions{0};
void count_interruption(int) { ++interruptions; }

// Signals for the calling thread, which interrupt what it waits for.
class Alarm {
 public:
  Alarm() {
    struct sigaction action{};
    action.sa_handler = count_interruption;  // without SA_RESTART
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval often{{0, 5000}, {0, 5000}};
    ::setitimer(ITIMER_REAL, &often, nullptr);
  }
  ~Alarm() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

// Opening a pipe waits for its other end, here for as long as a few signals take.
bool a_signal_is_no_failure() {
  constexpr int kInterruptions = 10;
  const Directory directory;
  const std::string pipe = directory.file("pipe");
  if (::mkfifo(pipe.c_str(), 0600) != 0) return false;
  interruptions = 0;
  std::atomic<bool> over{false};
  sigset_t alarm;
  sigset_t before;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  ::pthread_sigmask(SIG_BLOCK, &alarm, &before);  // the thread inherits it
  std::thread other_end([&] {
    while (!over) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (interruptions < kInterruptions) continue;
      const int descriptor = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      if (descriptor >= 0) ::close(descriptor);
    }
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  bool opened = false;
  {
    const Alarm ringing;
    opened = make_file_disk()->open(pipe, OpenMode::read).has_value();
  }
  over = true;
  other_end.join();
  return opened;
}

constexpr MutantRule kCases[] = {
    {Mutant::D10, what_is_said_to_be_written_is_there},
    {Mutant::D10_READ, fewer_bytes_than_asked_mean_the_end},
    {Mutant::D10_SIGNAL, a_signal_is_no_failure},
};

TEST(WorldMutants, NoneIsQuiet) {
  for (const MutantRule& each : kCases) EXPECT_TRUE(each.holds()) << name_of(each.mutant);
}

TEST(WorldMutants, EachIsFound) { expect_each_is_noticed(kCases); }

}  // namespace
}  // namespace world
}  // namespace quorate
