// app/top/asker.h: asks members the same questions again and again, each in a thread of its own.
//
// So a member that is dead or stopped holds up nobody's view of the others. All ask at the same
// moments, the rounds: what is compared between members was seen at about one time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "app/commands.h"
#include "app/top/view.h"

namespace quorate::app::top {

struct Pace {
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun;
  Duration interval{};

  Duration elapsed() const { return Clock::now() - begun; }
  uint64_t round() const { return static_cast<uint64_t>(elapsed() / interval); }
  Duration due(uint64_t round) const { return interval * static_cast<int64_t>(round); }
};

class Asker {
 public:
  Asker(const Common& common, const std::string& endpoint, bool given, Pace pace);

  Watched watched() const;
  const std::string& endpoint() const { return endpoint_; }
  bool given() const { return given_; }
  // Its thread ends soon; then it may be dropped without waiting.
  void retire() { thread_.request_stop(); }
  bool ended() const { return ended_; }

 private:
  void run(const std::stop_token& stop);
  Sample ask(const std::stop_token& stop);
  bool connect(Sample& sample);
  front::grpc::Answer call(std::string_view path, Duration patience, const std::stop_token& stop);
  void ask_members(const std::stop_token& stop);
  void ask_counters(Sample& sample) const;

  const Common common_;
  const std::string endpoint_;
  const bool given_;
  const Pace pace_;
  Session session_;  // of the thread, as the next two
  std::unique_ptr<front::grpc::Client> client_;
  std::vector<doctor::MemberFacts> members_;
  mutable std::mutex mutex_;
  std::condition_variable_any due_;
  Watched watched_;  // guarded by mutex_
  std::atomic<bool> ended_ = false;
  std::jthread thread_;  // last: it begins when all the rest is there
};

class Askers {
 public:
  Askers(const Common& common, Pace pace);
  // What is known now. Begins to ask members that are new, leaves those that are gone.
  std::vector<Watched> tend();

 private:
  void add(const std::string& endpoint, bool given);

  const Common common_;
  const Pace pace_;
  std::vector<std::unique_ptr<Asker>> askers_;
};

}  // namespace quorate::app::top
