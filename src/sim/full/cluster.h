// sim/full/cluster.h: whole production nodes in a simulated world.
//
// Each member is what open_node() makes: the runtime, the log on a simulated disk, the etcd
// machine over the memory store, frames of bytes on simulated links. The cluster starts, crashes
// and stops them, watches their machines (truth.h) and knows who is whole (atlas.h). Members are
// numbered from 0 here; the id of member 0 is 1.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/node.h"
#include "sim/full/atlas.h"
#include "sim/full/swarm.h"
#include "sim/full/trace.h"
#include "sim/full/truth.h"
#include "world/sim/sim_world.h"

namespace quorate::sim::full {

inline constexpr const char* kDirectory = "/data";

// What was done to a member's disk and may explain why it stops or does not start.
struct Excuses {
  bool io = false;      // a sync or a read was made to fail
  bool space = false;   // the disk was full
  bool damage = false;  // stored bytes were changed, or are read wrongly
  bool explains(ErrorKind kind) const;
};

class Cluster {
 public:
  struct Member {
    std::unique_ptr<node::Node> node;  // null: no process
    Excuses excuses;
    bool ready = false;
    bool stopping = false;
    uint64_t starts = 0;
    uint64_t refusals = 0;  // starts that failed, since the last that did not
    Index acknowledged;     // how far a leader counts on its log
  };
  // What lives and ends with each member's process, beside its node.
  class Companion {
   public:
    virtual ~Companion() = default;
    virtual void on_started(uint64_t member) = 0;
    virtual void on_gone(uint64_t member) = 0;  // its node is still there
  };
  // Hears that a member's process ended, whatever the reason.
  using DownHandler = std::function<void(uint64_t member)>;

  Cluster(const FullSwarm& swarm, uint64_t seed, Trace trace);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // ---- Who is there.
  uint64_t size() const { return members_.size(); }
  static NodeId id_of(uint64_t member) { return NodeId{member + 1}; }
  const Member& member(uint64_t member) const { return members_.at(member); }
  bool up(uint64_t member) const { return members_.at(member).node != nullptr; }
  // The member that leads the highest round and is up; size() when there is none.
  uint64_t leader() const;
  void set_companion(Companion* companion) { companion_ = companion; }
  // Null: it is down, or its state is lost.
  const machine::etcd::EtcdMachine* etcd_machine(uint64_t member) const;
  void set_down_handler(DownHandler handler) { on_down_ = std::move(handler); }

  // ---- Processes. Between steps, or from an action given to at().
  void start(uint64_t member);  // does nothing when it is up
  void crash(uint64_t member, world::CrashKind kind);
  void stop(uint64_t member, Duration patience);
  void wipe(uint64_t member);  // it must be down
  // Another member's data under this one's name, which is down: it must be refused.
  void try_clone(uint64_t from, uint64_t to);
  void excuse(uint64_t member, Excuses excuses);
  // The state of a member's directory, for the atlas.
  void review(uint64_t member);
  void review_all();
  void damaged(uint64_t member);

  // ---- The world.
  world::SimWorld& world() { return world_; }
  Time now() const { return world_.now(); }
  void at(Time when, world::Task action) { world_.at(when, std::move(action)); }
  world::SimExecutor& executor(uint64_t member) { return world_.executor(id_of(member)); }
  world::SimDisk& disk(uint64_t member) { return world_.disk(id_of(member)); }
  const FullSwarm& swarm() const { return swarm_; }
  Truth& truth() { return truth_; }
  const Truth& truth() const { return truth_; }
  Atlas& atlas() { return atlas_; }
  const Atlas& atlas() const { return atlas_; }
  const Trace& trace() const { return trace_; }
  template <class Words>
  void say(NodeId node, Words words) const {
    trace_.say(world_.now(), node, words);
  }
  // One event of the world; false when the run is over because a rule is broken.
  bool step();
  bool step_until(Time end);

  struct Counters {
    uint64_t crashes = 0;
    uint64_t wipes = 0;
    uint64_t refusals = 0;
    uint64_t failures = 0;
    uint64_t elections = 0;
    uint64_t installs = 0;
    uint64_t readmissions = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  node::NodeConfig config(uint64_t member);
  node::MachineFactory machines_of(uint64_t member);
  void refused(uint64_t member, const Error& error);
  void failed(uint64_t member, const Error& error);
  void gone(uint64_t member);
  void look();
  void check_bounds(uint64_t member);
  void note_acknowledged(uint64_t leader);
  void check_kept(uint64_t member);
  uint64_t decided_before(Duration past);  // entries, so long ago

  FullSwarm swarm_;
  Trace trace_;
  Rng rng_;
  Truth truth_;
  Atlas atlas_;
  world::SimWorld world_;
  std::vector<Member> members_;
  DownHandler on_down_;
  Companion* companion_ = nullptr;
  Counters counters_;
  std::deque<std::pair<Time, uint64_t>> decided_at_;
  uint64_t steps_ = 0;
  uint64_t highest_round_led_ = 0;
};

}  // namespace quorate::sim::full
