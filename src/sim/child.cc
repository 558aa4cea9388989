#include "sim/child.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace quorate::sim {
namespace {

constexpr int kFoundCode = 1;
constexpr char kResultMark = '\x01';  // the child's last word, apart from what it tells
constexpr int64_t kMicrosecondsPerSecond = 1'000'000;

void write_line(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(STDERR_FILENO, rest.data(), rest.size());
    if (written <= 0) std::_Exit(3);
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

void limit_myself(const ChildLimits& limits) {
  const rlimit cpu{limits.cpu_seconds, limits.cpu_seconds + 1};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit memory{limits.memory_bytes, limits.memory_bytes};
  setrlimit(RLIMIT_AS, &memory);
  const rlimit core{0, 0};
  setrlimit(RLIMIT_CORE, &core);
}

// Runs `inside` in a child whose standard error is a pipe to us.
ChildEnd in_child(const std::function<void()>& inside, const Tell& line_from) {
  int ends[2];
  CHECK(pipe(ends) == 0, "this process may open a pipe");
  std::fflush(nullptr);
  const pid_t process = fork();
  CHECK(process >= 0, "this process may start another");
  if (process == 0) {
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    inside();
    std::_Exit(0);
  }
  close(ends[1]);
  std::string pending;
  char block[4096];
  for (ssize_t got = 0; (got = read(ends[0], block, sizeof block)) > 0;) {
    pending.append(block, static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end = 0; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1) {
      line_from(std::string_view(pending).substr(begin, end - begin));
    }
    pending.erase(0, begin);
  }
  close(ends[0]);
  int status = 0;
  rusage usage{};
  wait4(process, &status, 0, &usage);
  ChildEnd result;
  result.cpu_microseconds =
      (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * kMicrosecondsPerSecond +
      usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    result.violation = "exit code " + std::to_string(WEXITSTATUS(status));
  } else if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    result.out_of_time = signal == SIGXCPU || signal == SIGKILL;
    if (!result.out_of_time) result.violation = std::string("died of ") + strsignal(signal);
  }
  return result;
}

}  // namespace

ChildEnd run_in_child(const ChildLimits& limits,
                      const std::function<std::string(const Tell&)>& work, const Tell& hear) {
  std::string last_word;
  std::string check;
  const auto inside = [&] {
    limit_myself(limits);
    const std::string found = work([](std::string_view line) { write_line(std::string(line)); });
    write_line(kResultMark + found);
    std::_Exit(found.empty() ? 0 : kFoundCode);
  };
  ChildEnd result = in_child(inside, [&](std::string_view line) {
    if (line.starts_with(kResultMark)) {
      last_word = line.substr(1);
    } else if (line.starts_with("CHECK failed")) {
      check = line;
    } else if (line.starts_with("while simulating")) {
      check += "; ";
      check += line;
    } else if (hear) {
      hear(line);
    }
  });
  if (result.out_of_time || result.violation.empty()) return result;
  if (!check.empty()) result.violation = check;
  if (!last_word.empty()) result.violation = last_word;
  return result;
}

ChildEnd run_program(const ChildLimits& limits, const std::string& path,
                     const std::string& variable, const std::string& value, const Tell& hear) {
  const auto inside = [&] {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    limit_myself(limits);
    setenv(variable.c_str(), value.c_str(), 1);
    execl(path.c_str(), path.c_str(), nullptr);
    std::_Exit(127);
  };
  return in_child(inside, [&](std::string_view line) {
    if (hear) hear(line);
  });
}

}  // namespace quorate::sim
