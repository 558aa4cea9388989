#include "node/snapshot_sender.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "node/limits.h"
#include "node/snapshot_files.h"

namespace quorate::node {
namespace {

// A transfer that failed is reported after this pause, so that a refusing receiver is not asked
// as fast as the network allows.
constexpr Duration kFailurePause = std::chrono::seconds(1);
constexpr size_t kChunksPerRead = 8;  // one job of half a megabyte

}  // namespace

SnapshotSender::SnapshotSender(GroupId group, world::Executor& executor, world::Disk& disk,
                               const StoreDirectory& directory, Outbound& outbound, Owner& owner,
                               uint64_t bytes_per_second)
    : group_(group),
      executor_(executor),
      disk_(disk),
      directory_(directory),
      outbound_(outbound),
      owner_(owner),
      bytes_per_second_(bytes_per_second) {}

void SnapshotSender::start(NodeId to) {
  if (transfers_.contains(to)) return;  // that one's end answers both
  Transfer& transfer = transfers_[to];
  transfer.number = next_transfer_++;
  transfer.heard_at = executor_.now();
  // One that the log no longer continues from would be refused at once, or asked for again.
  const bool fresh = checkpoint_ != nullptr && checkpoint_->ready &&
                     checkpoint_->meta.index.next() >= owner_.log_first();
  if (fresh) {
    begin(to, transfer);
  } else if (!making_) {
    make_checkpoint();
  }
}

void SnapshotSender::drop_old_checkpoint() {
  if (checkpoint_ == nullptr) return;
  // Jobs of transfers that still read it hold it; the files go when the last of them is done.
  auto old = std::exchange(checkpoint_, nullptr);
  const bool used = std::ranges::any_of(
      transfers_, [&](const auto& entry) { return entry.second.checkpoint == old; });
  if (used) return;
  executor_.run_blocking(
      world::DiskLane::background, [old] { static_cast<void>(old->disk->remove_tree(old->path)); },
      [] {});
}

void SnapshotSender::make_checkpoint() {
  drop_old_checkpoint();
  making_ = true;
  auto checkpoint = std::make_shared<Checkpoint>();
  checkpoint->disk = &disk_;
  checkpoint->path = directory_.outgoing_path(next_checkpoint_++);
  executor_.run_blocking(
      world::DiskLane::background,
      [checkpoint, machine = owner_.machine_to_send()] {
        world::Disk& disk = *checkpoint->disk;
        if (auto removed = disk.remove_tree(checkpoint->path); !removed) {
          checkpoint->error = removed.error();
          return;
        }
        auto position = machine->checkpoint(checkpoint->path);
        if (!position) {
          checkpoint->error = position.error();
          return;
        }
        checkpoint->meta = {position->index, {position->round, NodeId{}}, position->members};
        auto files = describe_files(disk, checkpoint->path);
        if (!files) {
          checkpoint->error = files.error();
          return;
        }
        checkpoint->files = std::move(*files);
      },
      lifeline_.guard([this, checkpoint] { on_checkpoint(checkpoint); }));
}

void SnapshotSender::on_checkpoint(const std::shared_ptr<Checkpoint>& checkpoint) {
  making_ = false;
  if (checkpoint->error) {
    log(LogLevel::warn, "a checkpoint for a lagging member failed: " + checkpoint->error->text);
    std::vector<NodeId> waiting;
    for (const auto& [to, transfer] : transfers_) {
      if (transfer.checkpoint == nullptr) waiting.push_back(to);
    }
    for (const NodeId to : waiting) finish(to, false);
    return;
  }
  checkpoint->ready = true;
  checkpoint_ = checkpoint;
  std::vector<NodeId> waiting;
  for (const auto& [to, transfer] : transfers_) {
    if (transfer.checkpoint == nullptr) waiting.push_back(to);
  }
  for (const NodeId to : waiting) begin(to, transfers_.at(to));
}

void SnapshotSender::begin(NodeId to, Transfer& transfer) {
  transfer.checkpoint = checkpoint_;
  transfer.heard_at = executor_.now();
  const SnapshotHeader header{transfer.number, checkpoint_->meta, checkpoint_->files};
  log(LogLevel::info, "sending a snapshot of index " +
                          std::to_string(checkpoint_->meta.index.value) + " to a lagging member");
  if (!outbound_.send(to, world::Lane::bulk, encode(group_, header))) return finish(to, false);
}

// To behind so many chunks; false if there are not so many.
bool SnapshotSender::seek(Transfer& transfer, uint64_t chunks) {
  transfer.agreed = true;
  transfer.chunks_sent = transfer.chunks_written = chunks;
  for (const SnapshotFile& file : transfer.checkpoint->files) {
    const uint64_t here = chunks_of(file.size);
    if (chunks < here) {
      transfer.offset = chunks * kSnapshotChunkBytes;
      return true;
    }
    chunks -= here;
    ++transfer.file;
  }
  return chunks == 0;
}

// Snapshots take what is left: the log and the clients need the same disk and network.
bool SnapshotSender::too_fast(Transfer& transfer) {
  if (bytes_per_second_ == 0) return false;
  const Time now = executor_.now();
  transfer.paced = now < next_read_at_;
  if (transfer.paced) return true;
  constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
  constexpr uint64_t kBytes = kChunksPerRead * kSnapshotChunkBytes;
  next_read_at_ =
      std::max(next_read_at_, now) +
      Duration{static_cast<int64_t>(kBytes * kNanosecondsPerSecond / bytes_per_second_)};
  return false;
}

void SnapshotSender::pump(NodeId to, Transfer& transfer) {
  if (transfer.reading || transfer.ended || !transfer.agreed) return;
  const std::vector<SnapshotFile>& files = transfer.checkpoint->files;
  while (transfer.file < files.size() && transfer.offset >= files[transfer.file].size) {
    ++transfer.file;  // empty files need no chunk
    transfer.offset = 0;
  }
  if (transfer.file == files.size()) {
    transfer.ended = true;
    const Bytes end = encode(group_, SnapshotEnd{transfer.number});
    if (!outbound_.send(to, world::Lane::bulk, end)) finish(to, false);
    return;
  }
  const uint64_t ahead = transfer.chunks_sent - transfer.chunks_written;
  if (ahead + kChunksPerRead > kSnapshotChunksInFlight || too_fast(transfer)) return;
  transfer.reading = true;
  auto reading = std::make_shared<Reading>();
  reading->file = transfer.file;
  reading->offset = transfer.offset;
  executor_.run_blocking(
      world::DiskLane::background,
      [reading, checkpoint = transfer.checkpoint, number = transfer.number] {
        const auto& list = checkpoint->files;
        while (reading->chunks.size() < kChunksPerRead && reading->file < list.size()) {
          const SnapshotFile& file = list[reading->file];
          if (reading->offset >= file.size) {
            ++reading->file;
            reading->offset = 0;
            continue;
          }
          const auto size = static_cast<size_t>(
              std::min<uint64_t>(kSnapshotChunkBytes, file.size - reading->offset));
          auto block = read_block(*checkpoint->disk, checkpoint->path + "/" + file.name,
                                  reading->offset, size);
          if (!block) {
            reading->error = block.error();
            return;
          }
          reading->chunks.push_back({number, reading->file, reading->offset, std::move(*block)});
          reading->offset += size;
        }
      },
      lifeline_.guard(
          [this, to, number = transfer.number, reading] { on_read(to, number, *reading); }));
}

void SnapshotSender::on_read(NodeId to, uint64_t number, Reading& reading) {
  const auto place = transfers_.find(to);
  if (place == transfers_.end() || place->second.number != number) return;
  Transfer& transfer = place->second;
  transfer.reading = false;
  if (reading.error) {
    log(LogLevel::warn, "reading a snapshot to send failed: " + reading.error->text);
    return finish(to, false);
  }
  for (const SnapshotChunk& chunk : reading.chunks) {
    if (!outbound_.send(to, world::Lane::bulk, encode(group_, chunk))) return finish(to, false);
    ++transfer.chunks_sent;
  }
  transfer.file = reading.file;
  transfer.offset = reading.offset;
  pump(to, transfer);
}

void SnapshotSender::on_progress(NodeId from, const SnapshotProgress& progress) {
  const auto place = transfers_.find(from);
  if (place == transfers_.end() || place->second.number != progress.transfer) return;
  Transfer& transfer = place->second;
  transfer.heard_at = executor_.now();
  switch (progress.state) {
    case SnapshotState::whole:
      return finish(from, transfer.ended);
    case SnapshotState::refused:
      return finish(from, false);
    case SnapshotState::receiving:
      break;
  }
  if (transfer.checkpoint == nullptr) return;
  if (!transfer.agreed) {
    if (!seek(transfer, progress.chunks)) return finish(from, false);
    return pump(from, transfer);
  }
  if (progress.chunks > transfer.chunks_sent) return finish(from, false);  // absurd
  transfer.chunks_written = std::max(transfer.chunks_written, progress.chunks);
  pump(from, transfer);
}

void SnapshotSender::finish(NodeId to, bool ok) {
  const auto place = transfers_.find(to);
  if (place == transfers_.end()) return;
  const auto checkpoint = place->second.checkpoint;
  const Index index = checkpoint == nullptr ? Index{} : checkpoint->meta.index;
  transfers_.erase(place);
  const Time now = executor_.now();
  if (checkpoint != nullptr && checkpoint != checkpoint_) {
    executor_.run_blocking(
        world::DiskLane::background,
        [checkpoint] { static_cast<void>(checkpoint->disk->remove_tree(checkpoint->path)); },
        [] {});
  }
  // Whether it arrived or will be taken up again: what follows it must still be in the log.
  if (checkpoint != nullptr) pin_after_ = {index, now + kSnapshotPinAfter};
  if (!ok) {
    failures_.emplace(now + kFailurePause, Report{to, index});
    // Nothing the replica does depends on the moment; the timer is set by whoever asks.
    return;
  }
  owner_.on_snapshot_sent(to, index, true);
}

void SnapshotSender::on_disconnected(NodeId peer) { finish(peer, false); }

void SnapshotSender::expire(Time now) {
  std::vector<NodeId> silent;
  for (const auto& [to, transfer] : transfers_) {
    if (transfer.checkpoint != nullptr && now >= transfer.heard_at + kSnapshotSilenceMax) {
      silent.push_back(to);
    }
  }
  for (const NodeId to : silent) finish(to, false);
  if (now >= next_read_at_) {
    for (auto& [to, transfer] : transfers_) {
      if (std::exchange(transfer.paced, false)) pump(to, transfer);
    }
  }
  while (!failures_.empty() && failures_.begin()->first <= now) {
    const Report report = failures_.begin()->second;
    failures_.erase(failures_.begin());
    owner_.on_snapshot_sent(report.to, report.index, false);
  }
}

Time SnapshotSender::deadline() const {
  Time next = failures_.empty() ? kNever : failures_.begin()->first;
  for (const auto& [to, transfer] : transfers_) {
    if (transfer.checkpoint != nullptr) {
      next = std::min(next, transfer.heard_at + kSnapshotSilenceMax);
    }
    if (transfer.paced) next = std::min(next, next_read_at_);
  }
  return next;
}

std::optional<Index> SnapshotSender::pinned(Time now) {
  if (pin_after_ && now >= pin_after_->second) pin_after_.reset();
  std::optional<Index> pin;
  if (pin_after_) pin = pin_after_->first;
  for (const auto& [to, transfer] : transfers_) {
    if (transfer.checkpoint == nullptr) continue;
    const Index index = transfer.checkpoint->meta.index;
    pin = pin ? std::min(*pin, index) : index;
  }
  return pin;
}

}  // namespace quorate::node
