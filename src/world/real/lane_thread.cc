#include "world/real/lane_thread.h"

#include <csignal>
#include <utility>

namespace quorate::world {

void LaneThread::add(Task work, Task done) {
  bool was_empty = false;
  {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return;
    was_empty = jobs_.empty();
    jobs_.push_back({std::move(work), std::move(done)});
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  if (was_empty) ready_.notify_one();
}

void LaneThread::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LaneThread::run() {
  // Signals belong to the loop's thread: a disk call must not be interrupted by them.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::vector<Job> batch;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      std::swap(batch, jobs_);
    }
    for (Job& job : batch) {
      job.work();
      job.work = nullptr;  // what it captured is released here, not on the loop's thread
      executor_.post(std::move(job.done));
      const std::scoped_lock lock(mutex_);
      if (stopping_) return;
    }
    batch.clear();
  }
}

}  // namespace quorate::world
