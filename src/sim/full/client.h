// sim/full/client.h: clients of the simulated cluster, and the judge of every answer they get.
//
// A client has one request open at a time. It asks one member until that refuses or stays
// silent, and it knows three ends: applied, surely not applied, unknown; what is unknown is never
// asked again. Requests and answers travel: a client may be cut off from some members.
//
// The judge knows the truth (truth.h). An applied write must be the very entry it is said to be,
// behind everything that was applied anywhere before it was asked for, with the answer of the
// model; a linearizable read must show a state at least as new as the moment it was asked for; a
// serializable one any state that ever was; a refused write must never be applied; what is said
// of a lease must fit lease_rules.h.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "machine/etcd/commands.h"
#include "node/service.h"
#include "sim/full/cluster.h"
#include "sim/full/workload.h"

namespace quorate::sim::full {

// How a request ended, for whoever asked for it on purpose.
enum class Heard : uint8_t { done, absent, refused, unknown };

struct Operation {
  enum class Kind : uint8_t { write, read, serializable_read, renew, look };
  uint64_t number = 0;
  uint64_t client = 0;
  uint64_t member = 0;  // whom it was sent to
  Kind kind = Kind::write;
  machine::etcd::CommandKind command_kind = machine::etcd::CommandKind::put;
  Bytes bytes;         // command or query
  uint64_t print = 0;  // of a command
  int64_t lease = 0;   // to renew or look at
  std::function<void(Heard)> then{};
  Time invoked;
  // What was known anywhere when it was invoked.
  Index floor;
  int64_t floor_revision = 0;
  int64_t floor_compacted = -1;
};

class Clients {
 public:
  Clients(Cluster& cluster, Rng rng);

  // They ask whom they like as often as they like, from now on.
  void start();
  void stop() { asking_ = false; }
  void set_quiet(bool quiet) { quiet_ = quiet; }
  // Requests and answers between the client and the member get lost.
  void set_cut(uint64_t client, uint64_t member, bool cut);
  void mend_all() { cuts_.clear(); }

  // For the ending: a request of its own, judged like every other.
  void ask(uint64_t member, Operation::Kind kind);
  // Requests that somebody else thought of; numbered, so that commands can be told apart.
  uint64_t next_number() { return next_number_++; }
  bool asking() const { return asking_; }
  void write(uint64_t member, Command command, std::function<void(Heard)> then);
  void ask_lease(uint64_t member, Operation::Kind kind, int64_t lease,
                 std::function<void(Heard)> then);
  uint64_t acknowledged() const { return acknowledged_; }  // writes
  uint64_t served() const { return served_; }              // linearizable reads
  uint64_t refused() const { return refused_; }
  uint64_t unknown() const { return unknown_; }
  uint64_t answers_hash() const { return answers_hash_; }

 private:
  struct Client {
    uint64_t member = 0;
    uint64_t open = 0;  // the number of its operation; 0: none
  };

  void think(uint64_t client);
  void act(uint64_t client);
  Operation draw(uint64_t client);
  void draw_request(Operation& operation);
  void send(const Operation& operation);
  void serve(const Operation& operation);
  void hear_write(uint64_t number, node::Outcome outcome);
  void hear_read(uint64_t number, std::optional<node::RefusedWhy> why, const machine::Reply& reply);
  void hear_lease(uint64_t number, const node::LeaseOutcome& outcome);
  void give_up(uint64_t number);
  void finish(const Operation& operation, Heard heard);
  void travel(const Operation& operation, world::Task arrival);

  void judge_write(const Operation& operation, const node::Applied& applied);
  void judge_read(const Operation& operation, const machine::Reply& reply);
  void judge_lease(const Operation& operation, const node::LeaseLife& life);
  void wrong(const Operation& operation, const std::string& text);
  std::string name_of(const Operation& operation) const;
  void say(const Operation& operation, const char* answer) const;

  Cluster& cluster_;
  Rng rng_;
  std::vector<Client> clients_;
  std::map<uint64_t, Operation> open_;
  std::set<std::pair<uint64_t, uint64_t>> cuts_;  // client, member
  std::set<Index> acknowledged_places_;
  bool asking_ = false;
  bool quiet_ = false;
  uint64_t next_number_ = 1;
  uint64_t acknowledged_ = 0;
  uint64_t served_ = 0;
  uint64_t refused_ = 0;
  uint64_t unknown_ = 0;
  uint64_t answers_hash_ = 0;
};

}  // namespace quorate::sim::full
