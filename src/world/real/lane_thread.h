// world/real/lane_thread.h: the thread behind one disk lane: blocking jobs, strictly in order.
//
// The thread starts with the first job, so that a lane nobody uses costs nothing. Destruction
// waits for the job under way and drops the rest unrun: whoever needs them waits for their done.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "world/executor.h"

namespace quorate::world {

class LaneThread {
 public:
  explicit LaneThread(Executor& executor) : executor_(executor) {}
  LaneThread(const LaneThread&) = delete;
  LaneThread& operator=(const LaneThread&) = delete;
  ~LaneThread() { stop(); }

  void add(Task work, Task done);
  void stop();

 private:
  struct Job {
    Task work;
    Task done;
  };
  void run();

  Executor& executor_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace quorate::world
