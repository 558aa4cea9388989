// app/etcdctl/put_load.h: many puts of numbered keys under one prefix, for the commands `check`.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/interruption.h"

namespace quorate::app::etcdctl {

struct PutLoadPlan {
  std::string command;  // for the progress
  std::string prefix;
  uint64_t keys = 0;
  uint64_t clients = 0;  // puts under way at a time
  uint64_t rate = 0;     // puts a second; 0: as fast as they are answered
  uint64_t seconds = 0;  // 0: until each key was put once
};

// As etcd's own tool puts them.
inline constexpr size_t kCheckedValueBytes = 1024;

class PutLoad {
 public:
  using Clock = std::chrono::steady_clock;
  PutLoad(const Common& common, PutLoadPlan plan)
      : common_(common), plan_(std::move(plan)), session_(common) {}

  // An exit code, with a complaint, when an endpoint cannot be reached.
  std::optional<int> connect();
  void run();
  // Removes the keys; then compacts and defragments if wanted.
  void clean_up(bool compact, bool defragment);

  const std::vector<double>& took() const { return took_; }  // seconds, of every put
  uint64_t failed() const { return failed_; }
  const std::string& failure() const { return failure_; }
  double seconds() const { return seconds_; }  // that it lasted
  bool interrupted() { return interruption_.happened(); }
  Session& session() { return session_; }

 private:
  bool may_start(Clock::time_point begun) const;
  void start_due(Clock::time_point begun);
  void take_finished();
  void show(Clock::time_point begun, Clock::time_point& shown) const;

  const Common& common_;
  PutLoadPlan plan_;
  Session session_;
  Interruption interruption_;
  std::vector<std::unique_ptr<front::grpc::Client>> clients_;
  std::vector<std::map<uint64_t, Clock::time_point>> under_way_;  // by client and call
  uint64_t started_ = 0;
  uint64_t flying_ = 0;
  std::vector<double> took_;
  uint64_t failed_ = 0;
  std::string failure_;
  double seconds_ = 0;
};

}  // namespace quorate::app::etcdctl
