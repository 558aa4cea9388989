// storage/wal/wal.h: the write-ahead log: one stream of records per node, shared by all groups.
//
// Group commit: what is appended while a sync is under way shares the next one; one is in flight
// at a time and there is no delay timer. Segments are zero-filled once and recycled, every
// record carries a crc32c over its bytes, its address and the generation of its segment, so that
// bytes of an earlier life never come back (docs/formats/wal.md). A torn tail is dropped at
// open. Damage is named: Recovered::damaged says which entries are lost; where that cannot be
// told for certain the log is refused, naming file and offset. Damage found later, by a read or
// by the scrub, is reported the same way (docs/decisions/0013). A failed write or sync is final:
// on_failure is called once and nothing is ever reported durable after it.
//
// Three guards, CHECKed for every write of every protocol: promised never shrinks, committed
// never shrinks, no entry is written or dropped at or below committed. One named exception:
// Write::repairs, exactly where an entry is damaged and with its ballot.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"
#include "world/disk.h"
#include "world/executor.h"

namespace quorate::storage {

struct WalOptions {
  std::string directory;
  // Small enough that recycling gives space back soon, large enough that rotation is rare.
  uint64_t segment_bytes = uint64_t{64} << 20U;
  // Payload of the newest entries handed back by recovery, per group.
  size_t recovered_tail_bytes = size_t{8} << 20U;
  // How fast what lies on the disk is read again to see whether it is still good; 0: not at all.
  uint64_t scrub_bytes_per_second = 0;
  Duration scrub_pause = std::chrono::minutes(10);  // between two passes over the log
};

struct WalMetrics {  // totals since open
  uint64_t syncs = 0;
  uint64_t bytes_written = 0;
  DiskTimes sync_times;
  uint64_t segments_created = 0;
  uint64_t segments_recycled = 0;
  uint64_t entries_damaged = 0;   // found lost, at open or later
  uint64_t entries_repaired = 0;  // put back
  uint64_t scrubbed_bytes = 0;
};

class Wal {
 public:
  using DurableCallback = std::function<void(GroupId group, WriteId write, Duration sync_time)>;
  using FailureCallback = std::function<void(const Error& error)>;
  // These entries are lost; `why` names file and offset.
  using DamageCallback =
      std::function<void(GroupId group, std::vector<IndexRange> ranges, const std::string& why)>;
  using ReadCallback = std::move_only_function<void(Result<std::vector<consensus::Entry>>)>;

  virtual ~Wal() = default;

  // What open() found, by group; each may be taken once.
  virtual std::vector<GroupId> groups() const = 0;
  virtual consensus::Recovered take_recovered(GroupId group) = 0;

  // Both are called on the executor's thread, never from within append().
  virtual void set_callbacks(DurableCallback durable, FailureCallback failed) = 0;
  // Called before the read that found it is answered.
  virtual void set_damage_callback(DamageCallback damaged) = 0;

  // Queues the write; write ids of a group must grow. Nothing reaches the disk before flush().
  virtual void append(GroupId group, consensus::Write write) = 0;
  // Starts writing what is queued, unless a batch is under way: then it follows by itself.
  virtual void flush() = 0;

  // Entries [range.first, range.last], at most bytes_max of payload but at least one entry;
  // fewer when the log no longer holds the first ones (then empty), the limit was reached, or
  // the next one is damaged.
  virtual void read(GroupId group, consensus::IndexRange range, size_t bytes_max,
                    ReadCallback done) = 0;
  virtual WalMetrics metrics() const = 0;
};

// Blocking; at start-up only. Creates the directory when absent.
Result<std::unique_ptr<Wal>> open_wal(world::Disk& disk, world::Executor& executor,
                                      WalOptions options);

}  // namespace quorate::storage
