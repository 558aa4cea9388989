#include "app/etcdctl/child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace quorate::app::etcdctl {
namespace {

constexpr int kNotRunnable = 127;  // as shells say it

}  // namespace

Result<int> start_child(const std::vector<std::string>& command, const Variables& variables,
                        const Interruption& interruption) {
  std::cout.flush();
  const int process = ::fork();
  if (process < 0) {
    return fail(ErrorKind::io, std::string("cannot start a process: ") + std::strerror(errno));
  }
  if (process > 0) return process;
  interruption.give_back();
  for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  std::cerr << "quorate: cannot run \"" << command[0] << "\": " << std::strerror(errno) << '\n';
  ::_exit(kNotRunnable);
}

int child_code(int process, bool wait) {
  int state = 0;
  int ended = 0;
  do {
    ended = ::waitpid(process, &state, wait ? 0 : WNOHANG);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) return -1;
  if (ended < 0) return kNotRunnable;
  return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

}  // namespace quorate::app::etcdctl
