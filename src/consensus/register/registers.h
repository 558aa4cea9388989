// consensus/register/registers.h: one node of those that hold registers together: its acceptors,
// and the changes its clients have asked for.
//
// There is no leader: every node proposes, one change of a register at a time. Pure, in the way
// of the door (consensus/replicated_log.h): make writes durable in the order of their ids, let
// each message leave when its `after` is durable, hand messages to oneself back in. Invariant: no
// ballot of this node begins with a round that it may have used before, restarts included.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "consensus/members.h"
#include "consensus/register/acceptors.h"
#include "consensus/register/proposer.h"

namespace quorate::consensus::caspaxos {

struct Durable {
  uint64_t rounds_reserved = 0;
  std::map<std::string, AcceptorState> registers;
};

// Of a write: what is new. `rounds_reserved` 0: as before.
struct Write {
  WriteId id;
  uint64_t rounds_reserved = 0;
  std::map<std::string, AcceptorState> registers;
};
void apply(const Write& write, Durable& durable);

struct Envelope {
  NodeId to;
  WriteId after;
  Body body;
};

struct Finished {
  ProposalId id;
  Outcome outcome;
};

struct Effects {
  std::optional<Write> write;
  std::vector<Envelope> messages;
  std::vector<Finished> finished;
};

struct Self {
  NodeId node;
  // In ballots: a node that lost its data takes another name there, or it might begin a ballot
  // that it has begun before.
  NodeId proposer;
  // Is an acceptor and has not lost what it promised. One that has lost it keeps out: nothing it
  // could say would be sure.
  bool accepts = true;
};

class Registers {
 public:
  // `acceptors`: the voters decide; they never change.
  Registers(const Self& self, Members acceptors, Durable recovered, Rng rng);

  // `id` was never used before, restarts included. Ends in `finished`, by `deadline`.
  void change(Time now, const ProposalId& id, const std::string& name, Change change,
              Time deadline);
  void receive(Time now, NodeId from, const Body& body);
  void wake(Time now);
  Time deadline() const;
  Effects take_effects();
  const std::map<std::string, AcceptorState>& states() const { return acceptors_.states(); }
  const Members& acceptors() const { return members_; }

 private:
  struct Waiting {
    ProposalId id;
    Change change;
    Time deadline;
  };
  struct Work {  // of one register; the first of `waiting` is under way
    std::deque<Waiting> waiting;
    std::optional<Proposer> proposer;
    Time again = kNever;  // begin a ballot then
    Duration window{};    // of the next back-off
  };

  void begin_ballot(Time now, Work& work);
  void finish(Time now, const std::string& name, const Outcome& outcome);
  void start_next(Time now, const std::string& name);
  void send_all(const Body& body, WriteId after);
  void answer(NodeId to, Acceptors::Answer answer, const std::string& name);
  Write& open_write();
  void on(Time now, NodeId from, const Prepare& prepare);
  void on(Time now, NodeId from, const Accept& accept);
  void on(Time now, NodeId from, const Promise& promise);
  void on(Time now, NodeId from, const Accepted& accepted);
  void on(Time now, NodeId from, const Refused& refused);

  Self self_;
  Members members_;
  Acceptors acceptors_;
  Rng rng_;
  uint64_t round_ = 0;     // used or seen
  uint64_t reserved_ = 0;  // on disk, or on its way there
  WriteId last_write_;
  std::map<std::string, Work> works_;
  size_t changes_ = 0;
  Effects effects_;
};

}  // namespace quorate::consensus::caspaxos
