// sim/registers/world.h: the nodes, disks, network and clients of one simulated run.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "check/history.h"
#include "consensus/register/registers.h"
#include "sim/registers/run.h"

namespace quorate::sim::registers {

namespace caspaxos = consensus::caspaxos;

class World {
 public:
  explicit World(uint64_t seed);
  void play();
  const check::History& history() const { return history_; }
  const Totals& totals() const { return totals_; }
  bool all_served() const { return finished_clients_ == clients_.size(); }

 private:
  using Task = std::function<void()>;
  struct Node {
    std::optional<caspaxos::Registers> core;  // empty: crashed
    caspaxos::Durable disk;
    std::deque<caspaxos::Write> writing;
    std::vector<caspaxos::Envelope> held;  // until the disk has what they rest on
    WriteId durable;
    uint64_t life = 0;
    bool disk_busy = false;
    uint64_t wake = 0;                   // number of the newest timer
    std::map<ProposalId, size_t> asked;  // by which client
  };
  struct Client {
    uint64_t operations_left = 0;
    uint64_t call = 0;
    caspaxos::Change change;
    std::string name;
    std::map<std::string, std::optional<Bytes>> seen;
  };

  void at(Duration later, Task task);
  Duration between(Duration low, Duration high);
  bool chance(uint64_t percent) { return rng_.below(100) < percent; }
  void start(size_t node);
  void crash(size_t node);
  void drain(size_t node);
  void write_next(size_t node);
  void send(size_t from, const caspaxos::Envelope& envelope);
  void arm(size_t node);
  void next_operation(size_t client);
  void finish(size_t client, const caspaxos::Outcome& outcome);
  void record_call(size_t client);
  void make_trouble();

  Rng rng_;
  Time now_{};
  uint64_t order_ = 0;
  std::map<std::pair<Time, uint64_t>, Task> tasks_;
  std::vector<Node> nodes_;
  std::vector<Client> clients_;
  std::vector<bool> cut_;
  consensus::Members members_;
  uint64_t loss_percent_ = 0;
  Duration trouble_gap_{};  // between two faults, at most
  uint64_t sequence_ = 0;
  uint64_t calls_ = 0;
  size_t finished_clients_ = 0;
  bool trouble_ = true;
  check::History history_;
  Totals totals_;
};

}  // namespace quorate::sim::registers
