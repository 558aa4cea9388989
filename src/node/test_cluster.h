// node/test_cluster.h: whole nodes (real log, real protocol, real runtime) in one test world.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/node.h"
#include "node/test_machine.h"
#include "node/test_world.h"

namespace quorate::node::testing {

class TestCluster {
 public:
  struct Member {
    std::unique_ptr<TestExecutor> executor;
    std::unique_ptr<TestNetwork> network;
    std::unique_ptr<Node> node;
    bool ready = false;
    std::optional<Error> failure;
    bool removed = false;
  };
  enum class Answer : uint8_t { none, applied, refused, unknown };
  struct Call {
    Answer answer = Answer::none;
    RefusedWhy why = RefusedWhy::no_leader;
    Index index;
    std::string body;
  };

  explicit TestCluster(uint64_t size, uint64_t seed = 1);

  // Opens the node on its directory and starts it.
  Result<void> start(uint64_t id) { return open(id, config(id)); }
  void start_all();
  // Starts a member that was added, from what `contact` tells about the cluster.
  Result<void> join(uint64_t id, uint64_t contact);
  void kill(uint64_t id);  // as the power button does
  void wipe(uint64_t id);
  bool running(uint64_t id) const { return members.contains(id); }

  void run_for(Duration duration) { clock.run_for(duration); }
  // Runs until `done`, at most for `patience`.
  bool run_until(const std::function<bool()>& done, Duration patience);
  uint64_t leader() const;  // of the highest round among those who think they lead; 0: none
  bool all_ready() const;
  // Every running node leads or follows the same leader and has applied the same.
  bool settled() const;
  bool same_state() const;

  std::shared_ptr<Call> propose(uint64_t id, const std::string& command, Duration wait);
  std::shared_ptr<Call> read(uint64_t id, const std::string& key, Duration wait);
  std::shared_ptr<Call> change(uint64_t id, const MemberChange& change, Duration wait);
  const TestMachine& machine(uint64_t id) const;
  std::string directory(uint64_t id) const;
  NodeConfig config(uint64_t id);
  Result<void> open(uint64_t id, NodeConfig with);

  static OutcomeCallback answer_to(const std::shared_ptr<Call>& call);

  TestClock clock;
  TestHub hub{clock};
  TemporaryDirectory root;
  std::unique_ptr<world::Disk> disk;
  std::map<uint64_t, Member> members;
  uint64_t size;
  uint64_t snapshot_count = 10000;
  uint64_t catch_up_entries = 5000;
  uint64_t cluster_id = 7;
  Start start_kind = Start::new_cluster;
  Rng rng;
};

}  // namespace quorate::node::testing
