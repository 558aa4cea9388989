#include "app/process.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "app/exit_codes.h"
#include "base/log.h"

namespace quorate::app {
namespace {

constexpr int kArenasMax = 2;  // one for the loop, one shared by the disk lanes

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

class SignalDescriptor : public SignalWatch, public world::Poller::Handler {
 public:
  SignalDescriptor(world::Poller& poller, int descriptor, std::function<void()> on_stop)
      : poller_(poller), descriptor_(descriptor), on_stop_(std::move(on_stop)) {}
  ~SignalDescriptor() override {
    poller_.forget(descriptor_);
    ::close(descriptor_);
  }
  SignalDescriptor(const SignalDescriptor&) = delete;
  SignalDescriptor& operator=(const SignalDescriptor&) = delete;

  void on_ready(bool, bool, bool) override {
    signalfd_siginfo received{};
    if (::read(descriptor_, &received, sizeof(received)) != sizeof(received)) return;
    if (stopping_) ::_exit(kExitOk);
    stopping_ = true;
    on_stop_();
  }

 private:
  world::Poller& poller_;
  const int descriptor_;
  std::function<void()> on_stop_;
  bool stopping_ = false;
};

}  // namespace

void prepare_process() {
  ::mallopt(M_ARENA_MAX, kArenasMax);
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

Result<std::unique_ptr<SignalWatch>> watch_stop_signals(world::Poller& poller,
                                                        std::function<void()> on_stop) {
  const sigset_t set = stop_signals();
  const int descriptor = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor < 0) {
    return fail(ErrorKind::io, std::string("cannot watch signals: ") + std::strerror(errno));
  }
  auto watch = std::make_unique<SignalDescriptor>(poller, descriptor, std::move(on_stop));
  if (auto watched = poller.watch(descriptor, true, false, *watch); !watched) {
    return std::unexpected(watched.error());
  }
  return watch;
}

void end_process_after(int milliseconds) {
  std::signal(SIGALRM, [](int) { ::_exit(kExitOk); });
  itimerval timer{};
  timer.it_value.tv_sec = milliseconds / 1000;
  timer.it_value.tv_usec = (milliseconds % 1000) * 1000L;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace quorate::app
