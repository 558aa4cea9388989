// explore/synod/process.h: the cores of one decree as values with a disk beneath them.
//
// A process is what it remembers, what its disk holds, and what waits for the disk. Two processes
// with the same key() behave the same for ever.
#pragma once

#include <string>
#include <vector>

#include "consensus/members.h"
#include "consensus/synod/acceptor.h"
#include "consensus/synod/proposer.h"

namespace quorate::explore::synod {

using consensus::Ballot;
using consensus::synod::Body;

consensus::Members acceptors();              // ids 1 to kAcceptors
NodeId acceptor_id(size_t place);            // of 0, 1, 2
NodeId proposer_id(size_t place);            // ids behind those of the acceptors
Bytes wish(size_t proposer, size_t starts);  // another one after each start
std::string key(const Body& body);
std::string text(const Body& body);  // for people
std::string text(const Ballot& ballot);
std::string name(NodeId id);  // "acceptor 1", "proposer A"

struct AcceptorProcess {
  consensus::synod::Acceptor core{{}};
  consensus::synod::AcceptorState disk;
  std::vector<Body> waiting;  // for the disk

  // What leaves at once.
  std::vector<Body> take(const Body& body, bool slow_disk);
  std::vector<Body> sync();
  void crash();
  std::string key() const;
};

struct ProposerProcess {
  explicit ProposerProcess(size_t place);
  std::vector<Body> begin(uint64_t above, bool slow_disk);
  std::vector<Body> take(NodeId from, const Body& body);
  std::vector<Body> sync();
  void crash();
  std::string key() const;

  size_t place;
  size_t starts = 0;
  consensus::synod::Proposer core;
  uint64_t disk = 0;  // the largest round that is durable
  std::vector<Body> waiting;
};

}  // namespace quorate::explore::synod
