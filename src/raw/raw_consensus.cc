#include "raw/raw_consensus.h"

#include <sys/resource.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raw/cluster.h"
#include "raw/durable_log.h"
#include "raw/memory_log.h"
#include "world/real/event_loop.h"
#include "world/real/files.h"

namespace quorate::raw {
namespace {

// Passes before the loop looks at its timers and at what the disks have done.
constexpr size_t kPassesPerTurn = 16;
constexpr Duration kElectionPatience = std::chrono::seconds(20);
constexpr Duration kEndPatience = std::chrono::seconds(10);
constexpr Duration kLookInterval = std::chrono::milliseconds(100);

struct Usage {
  Duration processor{};
  uint64_t switches = 0;
};

Usage usage() {
  rusage own{};
  CHECK(::getrusage(RUSAGE_SELF, &own) == 0, "a process may ask for its own usage");
  const auto length = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return {length(own.ru_utime) + length(own.ru_stime),
          static_cast<uint64_t>(own.ru_nvcsw) + static_cast<uint64_t>(own.ru_nivcsw)};
}

struct Mark {  // all counters at one moment
  Time when;
  Usage used;
  uint64_t entries = 0;
  uint64_t messages = 0;
  LogTotals logs;
};

Duration at_share(const std::vector<Duration>& sorted, uint64_t per_thousand) {
  if (sorted.empty()) return {};
  return sorted[(sorted.size() - 1) * per_thousand / 1000];
}

class Run {
 public:
  Run(const Options& options, const std::function<bool()>& stopped)
      : options_(options),
        stopped_(stopped),
        client_(options.outstanding, options.value_bytes),
        loop_(world::make_event_loop()),
        disk_(world::make_file_disk()) {}
  Result<Outcome> run();

 private:
  enum class Phase : uint8_t { election, warm_up, measured, end, over };
  Result<void> open();
  void turn_end();
  void follow(Time now);
  void look();
  void move_to(Phase phase, Time until) {
    phase_ = phase;
    until_ = until;
  }
  void end_with(Error error);
  Mark mark(Time now) const;
  Outcome outcome();

  const Options& options_;
  const std::function<bool()>& stopped_;
  Client client_;
  std::unique_ptr<world::EventLoop> loop_;
  std::unique_ptr<world::Disk> disk_;
  std::unique_ptr<Cluster> cluster_;  // ends before what its logs stand on
  Phase phase_ = Phase::election;
  Time until_;
  Mark begin_;
  Mark end_;
  world::TimerId timer_ = 0;
  Time armed_at_ = kNever;
  std::optional<Error> failure_;
};

Result<void> Run::open() {
  std::vector<std::unique_ptr<EntryLog>> logs;
  for (size_t place = 0; place < options_.replicas; ++place) {
    if (!options_.durable) {
      logs.push_back(std::make_unique<MemoryLog>());
      continue;
    }
    auto log = open_durable_log(*loop_, *disk_,
                                options_.directory + "/replica" + std::to_string(place + 1),
                                [this](const Error& error) { end_with(error); });
    if (!log) return std::unexpected(log.error());
    logs.push_back(std::move(*log));
  }
  cluster_ = std::make_unique<Cluster>(options_.protocol, std::move(logs), client_, loop_->now());
  return {};
}

Result<Outcome> Run::run() {
  if (auto opened = open(); !opened) return std::unexpected(opened.error());
  move_to(Phase::election, loop_->now() + kElectionPatience);
  loop_->at_turn_end([this] { turn_end(); });
  look();
  loop_->run();
  if (!failure_ && cluster_->failure()) failure_ = cluster_->failure();
  if (failure_) return std::unexpected(*failure_);
  if (!cluster_->agrees()) {
    return fail(ErrorKind::corrupt,
                "the replicas decided different things: this is a bug\n" + cluster_->describe());
  }
  return outcome();
}

void Run::turn_end() {
  if (phase_ == Phase::over) return;
  bool moved = true;
  for (size_t i = 0; i < kPassesPerTurn && moved && phase_ != Phase::over; ++i) {
    const Time now = loop_->now();
    moved = cluster_->pass(now);
    follow(now);
  }
  if (cluster_->failure()) return end_with(*cluster_->failure());
  if (moved) return loop_->post([] {});
  const Time deadline = cluster_->deadline();
  if (deadline >= armed_at_) return;
  if (timer_ != 0) loop_->cancel(timer_);
  armed_at_ = deadline;
  timer_ = loop_->at(deadline, [this] {
    timer_ = 0;
    armed_at_ = kNever;
  });
}

void Run::follow(Time now) {
  if (phase_ == Phase::election && cluster_->leads()) {
    move_to(Phase::warm_up, now + options_.warm_up);
  } else if (phase_ == Phase::warm_up && now >= until_) {
    begin_ = mark(now);
    client_.forget_samples();
    move_to(Phase::measured, now + options_.measured);
  } else if (phase_ == Phase::measured && now >= until_) {
    end_ = mark(now);
    cluster_->stop_client();
    move_to(Phase::end, now + kEndPatience);
  } else if (phase_ == Phase::end && cluster_->decided_by_all() == client_.begun() &&
             cluster_->agrees()) {
    // Whoever agrees while something is under way may disagree for a moment right after.
    move_to(Phase::over, kNever);
    loop_->stop();
  }
}

// What must end although nothing moves: it is asked from time to time.
void Run::look() {
  const Time now = loop_->now();
  if (stopped_ && stopped_()) {
    return end_with({ErrorKind::unavailable, "stopped before its time was up: nothing to report"});
  }
  if (now >= until_ && phase_ == Phase::election) {
    return end_with({ErrorKind::unavailable, "no leader was elected within 20 s"});
  }
  if (now >= until_ && phase_ == Phase::end) {
    return end_with({ErrorKind::unavailable,
                     "the replicas did not come to an end within 10 s\n" + cluster_->describe()});
  }
  loop_->at(now + kLookInterval, [this] { look(); });
}

void Run::end_with(Error error) {
  if (!failure_) failure_ = std::move(error);
  phase_ = Phase::over;
  loop_->stop();
}

Mark Run::mark(Time now) const {
  return {now, usage(), cluster_->decided_by_all(), cluster_->messages(), cluster_->log_totals()};
}

Outcome Run::outcome() {
  const std::vector<Duration> samples = client_.take_samples();
  Outcome made;
  made.entries = end_.entries - begin_.entries;
  made.took = end_.when - begin_.when;
  made.processor = end_.used.processor - begin_.used.processor;
  made.median = at_share(samples, 500);
  made.p99 = at_share(samples, 990);
  made.p999 = at_share(samples, 999);
  made.longest = samples.empty() ? Duration{} : samples.back();
  made.messages = end_.messages - begin_.messages;
  made.syncs = end_.logs.syncs - begin_.logs.syncs;
  made.log_bytes = end_.logs.bytes - begin_.logs.bytes;
  made.switches = end_.used.switches - begin_.used.switches;
  return made;
}

Result<void> verify(const Options& options) {
  if (options.replicas == 0 || options.replicas > kReplicasMax) {
    return fail(ErrorKind::invalid, "between 1 and 9 replicas can be measured");
  }
  if (options.outstanding == 0) {
    return fail(ErrorKind::invalid, "at least one proposal must be outstanding");
  }
  if (options.outstanding > kOutstandingBytesMax / std::max<size_t>(options.value_bytes, 1)) {
    return fail(ErrorKind::invalid,
                "more than 4 MiB of values outstanding are not measured: that is a queue in front "
                "of the log; use fewer, or smaller values");
  }
  if (options.durable && options.directory.empty()) {
    return fail(ErrorKind::invalid, "a durable log needs a directory on the disk to be measured");
  }
  return {};
}

}  // namespace

Result<Outcome> run_raw_consensus(const Options& options, const std::function<bool()>& stopped) {
  if (auto good = verify(options); !good) return std::unexpected(good.error());
  return Run(options, stopped).run();
}

}  // namespace quorate::raw
