// sim/cluster.h: a cluster of real replicas in a simulated world.
//
// It keeps the runtime's contract (writes durable in id order, messages after their write, apply
// up to committed) and can break everything else: links, clocks, disks, processes. Whoever
// drives it (sim/nemesis.h, sim/script.h) calls the actions below; every event and every action
// goes into the trace hash.
//
// Invariant: the only inputs are the swarm, the seed and the order of actions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "consensus/factory.h"
#include "sim/event_queue.h"
#include "sim/hash.h"
#include "sim/oracles.h"
#include "sim/run.h"
#include "sim/sim_node.h"
#include "sim/swarm.h"

namespace quorate::sim {

// A set of directed links: bit from * kNodesMax + to.
using LinkSet = uint64_t;
inline LinkSet link(uint64_t from, uint64_t to) { return LinkSet{1} << (from * kNodesMax + to); }

class Cluster {
 public:
  Cluster(const SimOptions& options, const Swarm& swarm, uint64_t seed);

  // Processes one event. Those of client, fault, heal, recover, script and check belong to the
  // driver and are only returned.
  Scheduled advance();
  void schedule(EventKind kind, int64_t delay, uint64_t data = 0);
  int64_t now() const { return now_; }
  bool failed() const { return !oracles_.violation().empty(); }

  // ---- Faults and their ends.
  void crash(uint64_t node);
  void restart(uint64_t node);
  void restart_later(uint64_t node, int64_t delay);
  void wipe(uint64_t node);
  bool may_wipe(uint64_t node) const;
  void pause(uint64_t node, int64_t duration);
  void resume(uint64_t node);
  void light_fuse(uint64_t node, uint64_t turns, uint64_t disk_steps);
  void set_cut(LinkSet cut);
  void set_network(const NetworkQuality& quality) { quality_ = quality; }
  void slow_disk(uint64_t node, int64_t factor);
  void change_drift(uint64_t node, int64_t parts_per_million);
  void hint_disconnect(uint64_t node, uint64_t peer);
  // Every link, disk and process ordinary again; nothing more is lost, doubled or late.
  void heal_everything();
  void wake(uint64_t node);  // as if its deadline had passed: timers may be early

  // ---- Clients.
  void propose(uint64_t node, uint64_t payload);
  void read(uint64_t node);
  void transfer(uint64_t node, NodeId to);

  uint64_t size() const { return nodes_.size(); }
  const SimNode& node(uint64_t position) const { return nodes_[position]; }
  // The living leader of the highest round, or size().
  uint64_t leader() const;
  Oracles& oracles() { return oracles_; }
  const Swarm& swarm() const { return swarm_; }
  const NetworkQuality& quality() const { return quality_; }
  uint64_t open_reads() const { return open_reads_; }
  uint64_t reads_served() const { return reads_served_; }
  void fill(RunResult& result) const;
  void say(const std::string& text);  // a line of the trace; call only when tracing()
  bool tracing() const { return tracing_; }
  void note(uint64_t word) { hash_.add(word); }

 private:
  struct Proposal {
    uint64_t node = 0;
    uint64_t life = 0;
  };
  struct Read {
    uint64_t node = 0;
    uint64_t life = 0;
    Index floor;
    bool answered = false;
  };
  struct Transfer {
    uint64_t from = 0;
    uint64_t from_life = 0;
    uint64_t to = 0;
    bool arrived = false;
    Machine snapshot;
  };

  void dispatch(const Scheduled& event);
  bool stale(const Scheduled& event) const;
  void step(SimNode& node, consensus::Event event);
  void settle(SimNode& node);
  void take_write(SimNode& node, consensus::Write write);
  void take_answers(SimNode& node, const consensus::Ready& ready);
  std::vector<Holder> holders() const;
  void watch_role(SimNode& node);
  void schedule_for(const SimNode& node, EventKind kind, int64_t delay, uint64_t data = 0);
  void schedule_wake(SimNode& node);
  void on_wake(SimNode& node, const Scheduled& event);
  void violated(const SimNode& node, const std::string& rule);
  Time local_now(const SimNode& node) const;
  void clear_volatile(SimNode& node);

  // cluster_storage.cc
  void start_disk(SimNode& node);
  void on_disk_done(SimNode& node);
  void make_durable(SimNode& node, const consensus::Write& write);
  void release_held(SimNode& node);
  void check_admission(SimNode& node);
  void apply(SimNode& node);
  const consensus::Entry* entry_to_apply(const SimNode& node, Index index) const;
  void applied_one(SimNode& node, const consensus::Entry& entry);
  void serve_reads(SimNode& node);
  void on_persist(SimNode& node);
  void on_fetched(SimNode& node, uint64_t slot);
  void send_snapshot(SimNode& node, NodeId to);
  void on_snapshot_crosses(uint64_t slot);
  void on_snapshot_stored(uint64_t slot);
  void on_snapshot_told(uint64_t slot);
  void lose_unsynced(SimNode& node);

  // cluster_network.cc
  void send(const SimNode& from, consensus::Message message);
  void post(consensus::Message message, int64_t delay, uint64_t life);
  void drop(const Scheduled& event);  // gives its message's slot back
  void on_deliver(uint64_t slot);
  bool open_link(uint64_t from, uint64_t to) const { return (cut_ & link(from, to)) == 0; }
  int64_t draw_latency();
  int64_t between(Rng& rng, int64_t low, int64_t high);

  SimOptions options_;
  Swarm swarm_;
  Rng rng_network_;
  Rng rng_disk_;
  Rng rng_node_;
  Rng rng_client_;
  EventQueue queue_;
  Oracles oracles_;
  TraceHash hash_;
  bool tracing_ = false;
  int64_t now_ = 0;
  int64_t standstill_ = 0;  // events since time last moved
  std::vector<SimNode> nodes_;
  Bytes bootstrap_;
  NetworkQuality quality_;
  LinkSet cut_ = 0;
  std::vector<consensus::Message> messages_;
  std::vector<uint64_t> free_messages_;
  std::vector<Proposal> proposals_;
  std::vector<Read> reads_;
  std::vector<Transfer> transfers_;
  std::vector<consensus::IndexRange> fetches_;
  uint64_t lives_ = 0;
  uint64_t open_reads_ = 0;
  uint64_t events_ = 0;
  uint64_t steps_ = 0;
  uint64_t crashes_ = 0;
  uint64_t wipes_ = 0;
  uint64_t installs_ = 0;
  uint64_t reads_served_ = 0;
};

}  // namespace quorate::sim
