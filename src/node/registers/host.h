// node/registers/host.h: the registers of one node at work: disk, network, time and clients around
// consensus/register/registers.h.
//
// Invariant: what the core wants written is in the file, synced, before a message that rests on it
// leaves. A failed write stops the node.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "consensus/register/registers.h"
#include "node/lifeline.h"
#include "node/registers/ask.h"
#include "node/registers/file.h"
#include "world/disk.h"
#include "world/executor.h"

namespace quorate::node {

class RegisterHost {
 public:
  struct World {  // borrowed, or calls that outlive the host
    world::Executor& executor;
    world::Disk& disk;
    std::string directory;
    std::function<void(NodeId to, const consensus::caspaxos::Body&)> send;
    std::function<void(const Error&)> fail;
  };

  // `first_sequence`: no change was ever numbered so or higher. Writes the file at once.
  RegisterHost(World world, RegisterFile file, uint64_t first_sequence, Rng rng);
  RegisterHost(const RegisterHost&) = delete;
  RegisterHost& operator=(const RegisterHost&) = delete;

  // `done` is called exactly once, never from within this call, unless the host is destroyed.
  void change(const std::string& name, RegisterChange change, Time deadline, RegisterCallback done);
  void receive(NodeId from, const consensus::caspaxos::Body& body);
  const std::vector<NodeId>& acceptors() const { return file_.acceptors; }
  void stop() { stopped_ = true; }

 private:
  void drain();
  void write();
  void written(const Result<void>& outcome, WriteId upto);
  void release(const consensus::caspaxos::Envelope& envelope);
  void arm();

  World world_;
  RegisterFile file_;  // as the disk will have it
  consensus::caspaxos::Registers core_;
  uint64_t next_sequence_;
  std::map<ProposalId, RegisterCallback> asked_;
  std::vector<consensus::caspaxos::Envelope> held_;
  WriteId wanted_;   // newest write in file_
  WriteId durable_;  // newest write on disk
  bool dirty_ = true;
  bool writing_ = false;
  bool stopped_ = false;
  Time armed_at_ = kNever;
  world::TimerId timer_ = 0;
  Lifeline lifeline_;
};

}  // namespace quorate::node
