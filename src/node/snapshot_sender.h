// node/snapshot_sender.h: streams a checkpoint of the machine to peers whose log is too old.
//
// One checkpoint at a time is shared by all receivers and used again while the log still
// continues behind it. Reading and copying happen on the background lane; chunks travel on the
// bulk lane, a bounded number ahead of what the receiver has written. Invariant: every start()
// ends in exactly one on_snapshot_sent().
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/lifeline.h"
#include "node/outbound.h"
#include "node/store_directory.h"
#include "node/wire.h"
#include "world/executor.h"

namespace quorate::node {

class SnapshotSender {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_snapshot_sent(NodeId to, Index index, bool ok) = 0;
    // Shared: a checkpoint under way keeps it alive.
    virtual std::shared_ptr<machine::StateMachine> machine_to_send() = 0;
    virtual Index log_first() const = 0;  // oldest entry a receiver could be sent afterwards
  };

  // `bytes_per_second`: over all receivers; 0: as fast as the disk and the network allow.
  SnapshotSender(GroupId group, world::Executor& executor, world::Disk& disk,
                 const StoreDirectory& directory, Outbound& outbound, Owner& owner,
                 uint64_t bytes_per_second = 0);

  void start(NodeId to);
  void on_progress(NodeId from, const SnapshotProgress& progress);
  void on_disconnected(NodeId peer);
  void expire(Time now);
  Time deadline() const;
  // The log behind this index must stay.
  std::optional<Index> pinned(Time now);

 private:
  struct Checkpoint {
    world::Disk* disk = nullptr;
    std::string path;
    consensus::SnapshotMeta meta;
    std::vector<SnapshotFile> files;
    std::optional<Error> error;
    bool ready = false;
  };
  struct Transfer {
    uint64_t number = 0;
    std::shared_ptr<Checkpoint> checkpoint;
    uint64_t file = 0;  // next chunk to read
    uint64_t offset = 0;
    uint64_t chunks_sent = 0;
    uint64_t chunks_written = 0;
    bool agreed = false;  // the receiver said where to begin
    bool reading = false;
    bool paced = false;  // waits for its turn within the rate
    bool ended = false;  // the end frame left
    Time heard_at;
  };
  struct Reading {  // one job's chunks
    std::vector<SnapshotChunk> chunks;
    uint64_t file = 0;
    uint64_t offset = 0;
    std::optional<Error> error;
  };

  void make_checkpoint();
  void on_checkpoint(const std::shared_ptr<Checkpoint>& checkpoint);
  void begin(NodeId to, Transfer& transfer);
  void pump(NodeId to, Transfer& transfer);
  void on_read(NodeId to, uint64_t number, Reading& reading);
  bool seek(Transfer& transfer, uint64_t chunks);
  bool too_fast(Transfer& transfer);
  void finish(NodeId to, bool ok);
  void drop_old_checkpoint();

  GroupId group_;
  world::Executor& executor_;
  world::Disk& disk_;
  StoreDirectory directory_;
  Outbound& outbound_;
  Owner& owner_;
  const uint64_t bytes_per_second_;
  Time next_read_at_ = Time::min();
  std::shared_ptr<Checkpoint> checkpoint_;
  bool making_ = false;
  std::map<NodeId, Transfer> transfers_;
  uint64_t next_transfer_ = 1;
  uint64_t next_checkpoint_ = 1;
  struct Report {
    NodeId to;
    Index index;
  };
  std::multimap<Time, Report> failures_;  // told to the replica a little later
  std::optional<std::pair<Index, Time>> pin_after_;
  Lifeline lifeline_;
};

}  // namespace quorate::node
