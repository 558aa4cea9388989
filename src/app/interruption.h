// app/interruption.h: Ctrl-C and SIGTERM as a descriptor, for commands that hold something.
//
// A lock is released and a lease revoked when somebody ends the command; so the signals are
// blocked and read. Dropped with the object. Children must get them back: give_back().
#pragma once

#include <csignal>
#include <span>

namespace quorate::app {

class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  std::span<const int> descriptors() const { return {&descriptor_, 1}; }
  bool happened();
  void give_back() const;  // in a child before it becomes another program

 private:
  int descriptor_ = -1;
  bool happened_ = false;
  sigset_t before_{};
};

}  // namespace quorate::app
