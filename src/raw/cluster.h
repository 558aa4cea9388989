// raw/cluster.h: replicas of one log in one process: the runtime's contract and nothing else.
//
// A pass gives each member its turn: hand in what arrived, take what it asks for, make its write
// durable, release messages when what they depend on is durable, follow what is decided. Messages
// go from hand to hand without being encoded. A pass that moved nothing means: wait for a disk or
// for deadline().
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consensus/factory.h"
#include "raw/client.h"
#include "raw/entry_log.h"

namespace quorate::raw {

class Cluster {
 public:
  // One member for each log; `logs` are empty.
  Cluster(consensus::Protocol protocol, std::vector<std::unique_ptr<EntryLog>> logs, Client& client,
          Time now);

  bool pass(Time now);  // true: something moved
  Time deadline() const;
  // Until a leader is established the client waits.
  bool leads() const { return leader_ != nullptr; }
  void stop_client() { client_stopped_ = true; }

  uint64_t decided_by_all() const;  // of the client's proposals
  uint64_t messages() const { return messages_; }
  LogTotals log_totals() const;
  // All members have decided the same, whose content and order a digest stands for.
  bool agrees() const;
  const std::optional<Error>& failure() const { return failure_; }
  void fail_with(Error error);
  std::string describe() const;

 private:
  struct Member {
    NodeId id;
    std::unique_ptr<consensus::ReplicatedLog> replica;
    std::unique_ptr<EntryLog> log;
    std::vector<consensus::Message> inbox;
    std::deque<consensus::Message> held;  // wait for a write
    Index committed;
    Index given_back;
    uint64_t decided = 0;  // of the client's
    uint64_t digest = 0;
    bool fetching = false;
  };
  void found(consensus::Protocol protocol, const consensus::Members& members, Member& member,
             Time now);
  bool run(Member& member, Time now);
  bool take_inbox(Member& member, Time now);
  bool release_held(Member& member, Time now);
  bool propose(Member& member, Time now);
  bool take_ready(Member& member, Time now);
  void send(consensus::Message message);
  void decide(Member& member, Index upto, Time now);
  void fetch(Member& member, consensus::IndexRange range, Time now);
  void give_back(Member& member, Time now);
  void look_for_leader();

  Client& client_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<consensus::Message> taken_;  // an inbox being worked off
  Member* leader_ = nullptr;
  bool client_stopped_ = false;
  uint64_t messages_ = 0;
  std::optional<Error> failure_;
};

}  // namespace quorate::raw
