// sim/cluster.h: a cluster of real replicas in a simulated world.
//
// It keeps the runtime's contract (writes durable in id order, messages after their write, apply
// up to committed) and can break everything else: links, clocks, disks, processes. Whoever
// drives it (sim/nemesis.h, sim/script.h) calls the actions below; every event and every action
// goes into the trace hash, and a Recorder is told of every action.
//
// Invariant: the only inputs are the swarm, the seed and the order of actions.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "consensus/factory.h"
#include "sim/event_queue.h"
#include "sim/hash.h"
#include "sim/observer.h"
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

  // Processes one event. Those of client, fault, heal, recover, script, end and check belong to
  // the driver and are only returned.
  Scheduled advance();
  void schedule(EventKind kind, int64_t delay, uint64_t data = 0);
  int64_t now() const { return now_; }
  bool failed() const { return !oracles_.violation().empty(); }

  // ---- Faults and their ends.
  void crash(uint64_t node);
  void restart(uint64_t node);
  void wipe(uint64_t node);
  bool may_wipe(uint64_t node) const;
  // Entries of its durable log become unreadable, those that others can make good. False: none.
  bool rot(uint64_t node, Index first, Index last);
  bool may_rot(uint64_t node, Index index) const;
  void lose_store(uint64_t node);  // what the state machine has on disk; crashes the node
  bool may_lose_store(uint64_t node) const;
  // A node outside takes no part until it is named as a member; then it comes without data.
  bool may_retire(uint64_t node) const;
  void retire(uint64_t node);
  void pause(uint64_t node, int64_t duration);
  void resume(uint64_t node);
  void light_fuse(uint64_t node, uint64_t turns, uint64_t disk_steps);
  void set_cut(LinkSet cut);
  LinkSet cut() const { return cut_; }
  void set_network(const NetworkQuality& quality);
  void slow_disk(uint64_t node, int64_t factor);
  void stall_disk(uint64_t node, bool stalled);
  void stall_apply(uint64_t node, bool stalled);
  void change_drift(uint64_t node, int64_t parts_per_million);
  void jump_clock(uint64_t node, int64_t forward);     // as after a suspended machine
  void disconnect(uint64_t node, uint64_t peer);       // `node` sees its connection to `peer` break
  void hint_disconnect(uint64_t node, uint64_t peer);  // the same, a little later
  // Every link, disk and process ordinary again; nothing more is lost, doubled or late.
  void heal_everything();
  void wake(uint64_t node);          // as if its deadline had passed: timers may be early
  void fire_timeout(uint64_t node);  // its clock jumps to its deadline
  void compact(uint64_t node);       // its store reaches the disk and gives log space back
  // Messages of a kind (consensus/factory.h; empty: of any) on these links are kept aside from
  // now on, until they are let through or forgotten. Returns how many were kept.
  void hold(LinkSet links, std::string_view kind);
  enum class Which : uint8_t { all, first, last };
  size_t release(LinkSet links, std::string_view kind, Which which, bool deliver);
  void stop_holding(LinkSet links, std::string_view kind);

  // ---- Clients.
  ProposalId propose(uint64_t node, uint64_t payload);  // zero: that node takes nothing now
  ReadId read(uint64_t node);
  void transfer(uint64_t node, NodeId to);
  void change_members(uint64_t node, const consensus::Members& target);
  // Clients cannot reach these nodes (a bit for each position); the cluster itself does not care.
  void cut_off_clients(uint64_t nodes) { unreachable_ = nodes; }
  bool clients_reach(uint64_t node) const { return ((unreachable_ >> node) & 1U) == 0; }

  uint64_t size() const { return nodes_.size(); }
  const SimNode& node(uint64_t position) const { return nodes_[position]; }
  // The living leader of the highest round, or size().
  uint64_t leader() const;
  Oracles& oracles() { return oracles_; }
  const Oracles& oracles() const { return oracles_; }
  const Swarm& swarm() const { return swarm_; }
  // Whether a majority of each half has its memory, were `lost` (a position) to lose it as well.
  bool remembers_enough(const consensus::Members& members, uint64_t lost) const;
  const NetworkQuality& quality() const { return quality_; }
  uint64_t open_reads() const { return open_reads_; }
  uint64_t reads_served() const { return reads_served_; }
  enum class ReadFate : uint8_t { open, refused, ready, lost };
  ReadFate fate_of(ReadId id, Index& answer) const;
  void fill(RunResult& result) const;
  void say(const std::string& text);  // a line of the trace; call only when tracing()
  bool tracing() const { return tracing_; }
  void note(uint64_t word) { hash_.add(word); }
  void show(HappeningKind kind, uint64_t node, std::string text);  // to the observer, if any

 private:
  consensus::LogShape shape() const { return oracles_.shape(); }
  struct Proposal {
    uint64_t node = 0;
    uint64_t life = 0;
  };
  struct Read {
    uint64_t node = 0;
    uint64_t life = 0;
    Index floor;
    ReadFate fate = ReadFate::open;
    Index answer;
  };
  struct Transfer {
    uint64_t from = 0;
    uint64_t from_life = 0;
    uint64_t to = 0;
    bool arrived = false;
    Machine snapshot;
  };
  struct OnItsWay {
    consensus::Message message;
    uint64_t number = 0;  // for observers: joins the sending with the arrival
  };
  struct Hold {
    LinkSet links = 0;
    std::string kind;
  };

  void dispatch(const Scheduled& event);
  bool stale(const Scheduled& event) const;
  void step(SimNode& node, consensus::Event event);
  void settle(SimNode& node);
  void take_write(SimNode& node, consensus::Write write);
  void tell_committed(const SimNode& node, Index index);
  void take_answers(SimNode& node, const consensus::Ready& ready);
  void take_reads(SimNode& node, const consensus::Ready& ready);
  const std::vector<Holder>& holders();
  void watch_role(SimNode& node);
  void schedule_for(const SimNode& node, EventKind kind, int64_t delay, uint64_t data = 0);
  void schedule_wake(SimNode& node);
  void on_wake(SimNode& node, const Scheduled& event);
  void violated(const SimNode& node, const std::string& rule);
  Time local_now(const SimNode& node) const;
  void see(HappeningKind kind, uint64_t node, uint64_t number, uint64_t peer = kNobody);

  // cluster_faults.cc
  void record(const std::function<std::string()>& line);
  std::string named(uint64_t node) const { return "n" + std::to_string(node + 1); }
  void die(SimNode& node);
  void clear_volatile(SimNode& node);
  void found(uint64_t voters);

  // cluster_members.cc
  std::vector<consensus::Members> configurations_in_play() const;
  void introduce(uint64_t node);
  void restart_later(uint64_t node, int64_t delay);
  consensus::Config config_for(const SimNode& node) const;

  // cluster_damage.cc
  bool whole_at(const SimNode& node, Index index, const LogImage::Slot& lost) const;
  bool losers_may_have_decided(const SimNode& node, Index index) const;
  bool only_here(const SimNode& node, Index index, uint64_t print) const;
  bool memory_lost() const;
  bool damage_anywhere() const;
  void fall_over_damage(SimNode& node);
  void on_damage_found(SimNode& node);
  void give_damage_back(SimNode& node);

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
  void persist(SimNode& node, uint64_t keep, uint64_t threshold);
  void on_fetched(SimNode& node, uint64_t slot);
  void send_snapshot(SimNode& node, NodeId to);
  void on_snapshot_crosses(uint64_t slot);
  void on_snapshot_stored(uint64_t slot);
  void on_snapshot_told(uint64_t slot);
  void lose_unsynced(SimNode& node);

  // cluster_network.cc
  void send(const SimNode& from, consensus::Message message);
  void transmit(const SimNode& from, consensus::Message message);
  void post(OnItsWay message, int64_t delay, uint64_t life);
  void drop(const Scheduled& event);  // gives its message's slot back
  void on_deliver(uint64_t slot);
  bool open_link(uint64_t from, uint64_t to) const { return (cut_ & link(from, to)) == 0; }
  bool kept_aside(uint64_t from, const consensus::Message& message) const;
  Rng& link_rng(uint64_t from, uint64_t to) { return rng_links_[from * kNodesMax + to]; }
  int64_t draw_latency(Rng& rng);
  int64_t between(Rng& rng, int64_t low, int64_t high);

  SimOptions options_;
  Swarm swarm_;
  uint64_t seed_;
  std::vector<Rng> rng_links_;  // one for each directed link
  EventQueue queue_;
  Oracles oracles_;
  TraceHash hash_;
  bool tracing_ = false;
  bool healed_ = false;  // what happens from here on is the end of the run, not its story
  int64_t now_ = 0;
  int64_t standstill_ = 0;  // events since time last moved
  std::vector<SimNode> nodes_;
  NetworkQuality quality_;
  LinkSet cut_ = 0;
  uint64_t unreachable_ = 0;
  std::vector<Hold> holds_;
  std::deque<consensus::Message> kept_;
  std::vector<OnItsWay> messages_;
  std::vector<uint64_t> free_messages_;
  uint64_t messages_sent_ = 0;
  std::vector<Proposal> proposals_;
  std::vector<Read> reads_;
  std::vector<Transfer> transfers_;
  std::vector<consensus::IndexRange> fetches_;
  std::vector<Holder> holders_;
  uint64_t lives_ = 0;
  uint64_t open_reads_ = 0;
  uint64_t events_ = 0;
  uint64_t steps_ = 0;
  uint64_t crashes_ = 0;
  uint64_t wipes_ = 0;
  uint64_t installs_ = 0;
  uint64_t rots_ = 0;
  uint64_t stores_lost_ = 0;
  uint64_t reads_served_ = 0;
};

std::string describe(const consensus::Members& members);

}  // namespace quorate::sim
