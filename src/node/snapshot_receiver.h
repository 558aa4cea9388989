// node/snapshot_receiver.h: takes in a peer's snapshot, one at a time.
//
// A transfer that broke goes on where it stood when the same sender offers the same snapshot
// again, also after a restart (whole files only).
// Chunks go to snapshots/incoming on the background lane; when the last byte fits its checksum
// the directory is durable under its final name and the owner hears of it. Invariant: nothing a
// peer sends can name a path outside that directory, or make this node hold more than a bounded
// number of chunks.
#pragma once

#include <memory>
#include <optional>

#include "node/lifeline.h"
#include "node/outbound.h"
#include "node/snapshot_files.h"
#include "node/store_directory.h"
#include "node/wire.h"
#include "world/executor.h"

namespace quorate::node {

class SnapshotReceiver {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual bool wants_snapshot(const consensus::SnapshotMeta& meta) const = 0;
    // Durable as arrived_path(meta.index).
    virtual void on_snapshot_whole(NodeId from, const consensus::SnapshotMeta& meta) = 0;
  };

  SnapshotReceiver(GroupId group, world::Executor& executor, world::Disk& disk,
                   const StoreDirectory& directory, Outbound& outbound, Owner& owner);

  void on_header(NodeId from, const SnapshotHeader& header);
  void on_chunk(NodeId from, const SnapshotChunk& chunk);
  void on_end(NodeId from, const SnapshotEnd& end);
  void on_disconnected(NodeId peer);
  // No transfer is wanted any more: what an earlier one left may go.
  void discard_leftover();

 private:
  struct Work {  // touched by background jobs only
    explicit Work(SnapshotWriter snapshot_writer) : writer(std::move(snapshot_writer)) {}
    SnapshotWriter writer;
    std::optional<Error> error;
  };
  struct Incoming {
    NodeId from;
    uint64_t transfer = 0;
    consensus::SnapshotMeta meta;
    std::vector<SnapshotFile> files;
    std::shared_ptr<Work> work;
    uint64_t chunks_taken = 0;
    uint64_t chunks_written = 0;
    bool agreed = false;  // the sender was told where to begin
    bool broken = false;  // the connection is gone; the sender may take it up again
    bool ended = false;
    Time heard_at;
  };

  bool goes_on(NodeId from, const SnapshotHeader& header) const;
  void agree();
  Incoming* current(NodeId from, uint64_t transfer);
  void answer(NodeId to, uint64_t transfer, uint64_t chunks, SnapshotState state);
  void refuse(const std::string& why);
  // Runs one step on the lane, unless an earlier one failed, then continues here with whether
  // all is well.
  void run(std::function<Result<void>(SnapshotWriter&)> step, std::function<void()> then);

  GroupId group_;
  world::Executor& executor_;
  world::Disk& disk_;
  StoreDirectory directory_;
  Outbound& outbound_;
  Owner& owner_;
  std::optional<Incoming> incoming_;
  Lifeline lifeline_;
};

}  // namespace quorate::node
