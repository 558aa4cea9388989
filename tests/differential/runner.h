// tests/differential/runner.h: each operation to both servers, and the answers compared.
//
// Watches are compared when they have settled: a sentinel key is put, and once its event has come
// on every stream, all events before it have. Whatever makes the outcome of a watch depend on who
// is faster (a compaction, a cancellation) waits for that first.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "generator.h"
#include "operation.h"
#include "side.h"

namespace quorate::differential {

struct Mismatch {
  std::string what;  // of which kind; shrinking keeps to one kind
  std::string theirs;
  std::string ours;
};

struct Counts {
  uint64_t accepted = 0;
  uint64_t refused = 0;
  uint64_t watchers = 0;
  uint64_t events = 0;  // lines of watches that were compared
  uint64_t fragments = 0;
  uint64_t compactions = 0;
  uint64_t leases_ended = 0;
  uint64_t leaders_lost = 0;
  uint64_t alarms = 0;
  uint64_t asked_again = 0;  // what etcd says later
};

class Runner {
 public:
  // patience: how long a watch may take to say what the other side's has said.
  Runner(Side& theirs, Side& ours, std::chrono::seconds patience)
      : theirs_(theirs), ours_(ours), patience_(patience) {}

  std::optional<Mismatch> run(const Operation& operation);
  // What is still under way, and the whole content.
  std::optional<Mismatch> finish();
  const View& view() const { return view_; }
  const Counts& counts() const { return counts_; }
  // The machine was too slow for what time decides; the run says nothing.
  bool stalled() const { return stalled_; }

 private:
  enum class Order : uint8_t { exact, any };  // of events that came at one time

  std::optional<Mismatch> run_call(const Operation& operation);
  std::optional<Mismatch> compare(const Operation& operation, Answer theirs, Answer ours);
  void learn(const Operation& operation, const Answer& answer);
  std::optional<Mismatch> put_everywhere(std::string_view key, const std::string& value);
  std::optional<Mismatch> compare_contents();
  std::optional<Mismatch> compact_all();

  std::optional<Mismatch> run_watch(const Operation& operation);
  bool uses_lost_id(size_t number, const etcdserverpb::WatchRequest& request) const;
  std::optional<Mismatch> open_stream(size_t number);
  std::optional<Mismatch> create_watcher(size_t number, const etcdserverpb::WatchRequest& request);
  std::optional<Mismatch> cancel_watcher(size_t number, int64_t id);
  std::optional<Mismatch> ask_progress(size_t number);
  std::optional<Mismatch> settle(Order order = Order::exact);
  std::optional<Mismatch> wait_sentinel(size_t number, int64_t revision);
  std::optional<Mismatch> compare_lines(size_t number, Order order);
  void forget_lines(size_t number);
  template <class Condition>
  bool wait_until(Condition condition);

  std::optional<Mismatch> wait_expired();
  std::optional<Mismatch> lose_leader();
  std::string lose_leader_of(Side& side, const etcdserverpb::PutRequest& marker);
  bool short_leases_left(Side& side);

  Side& theirs_;
  Side& ours_;
  std::chrono::seconds patience_;
  View view_;
  Counts counts_;
  bool stalled_ = false;
  std::map<size_t, bool> late_;                           // streams with watchers that catch up
  std::map<size_t, std::map<int64_t, int64_t>> started_;  // by stream and id: where from
  std::map<size_t, std::set<int64_t>> lost_ids_;
  int64_t next_late_sentinel_ = 0;
  std::optional<std::chrono::steady_clock::time_point> short_since_;
};

}  // namespace quorate::differential
