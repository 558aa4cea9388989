#include "app/interruption.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"

namespace quorate::app {

Interruption::Interruption() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
  descriptor_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  CHECK(descriptor_ >= 0, "a signalfd of two signals");
}

Interruption::~Interruption() {
  ::close(descriptor_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interruption::happened() {
  signalfd_siginfo received{};
  while (::read(descriptor_, &received, sizeof(received)) == sizeof(received)) happened_ = true;
  return happened_;
}

void Interruption::give_back() const { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace quorate::app
