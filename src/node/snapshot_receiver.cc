#include "node/snapshot_receiver.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {

SnapshotReceiver::SnapshotReceiver(GroupId group, world::Executor& executor, world::Disk& disk,
                                   const StoreDirectory& directory, Outbound& outbound,
                                   Owner& owner)
    : group_(group),
      executor_(executor),
      disk_(disk),
      directory_(directory),
      outbound_(outbound),
      owner_(owner) {}

void SnapshotReceiver::answer(NodeId to, uint64_t transfer, uint64_t chunks, SnapshotState state) {
  outbound_.send(to, world::Lane::normal,
                 encode(group_, SnapshotProgress{transfer, chunks, state}));
}

void SnapshotReceiver::refuse(const std::string& why) {
  log(LogLevel::warn, "a snapshot from a peer was refused: " + why);
  answer(incoming_->from, incoming_->transfer, incoming_->chunks_written, SnapshotState::refused);
  incoming_.reset();
}

SnapshotReceiver::Incoming* SnapshotReceiver::current(NodeId from, uint64_t transfer) {
  if (!incoming_ || incoming_->from != from || incoming_->transfer != transfer) return nullptr;
  return &*incoming_;
}

void SnapshotReceiver::run(std::function<Result<void>(SnapshotWriter&)> step,
                           std::function<void()> then) {
  executor_.run_blocking(
      world::DiskLane::background,
      [work = incoming_->work, step = std::move(step)] {
        if (work->error) return;
        if (auto done = step(work->writer); !done) work->error = done.error();
      },
      lifeline_.guard([this, work = incoming_->work, then = std::move(then)] {
        if (!incoming_ || incoming_->work != work) return;  // given up meanwhile
        if (work->error) return refuse(work->error->text);
        then();
      }));
}

void SnapshotReceiver::on_header(NodeId from, const SnapshotHeader& header) {
  const Time now = executor_.now();
  const bool busy = incoming_ && !incoming_->broken && incoming_->from != from &&
                    now < incoming_->heard_at + kSnapshotSilenceMax;
  if (busy || !header.meta.index || !owner_.wants_snapshot(header.meta)) {
    return answer(from, header.transfer, 0, SnapshotState::refused);
  }
  if (goes_on(from, header)) {
    incoming_->transfer = header.transfer;
    incoming_->broken = false;
    incoming_->agreed = false;
    incoming_->heard_at = now;
    // Behind the chunks that still wait to be written.
    return run([](SnapshotWriter&) { return Result<void>{}; }, [this] { agree(); });
  }
  incoming_ = Incoming{};
  incoming_->from = from;
  incoming_->transfer = header.transfer;
  incoming_->meta = header.meta;
  incoming_->meta.members = Bytes(header.meta.members.view());  // lets go of the frame
  incoming_->heard_at = now;
  incoming_->files = header.files;
  const Bytes manifest = encode(group_, SnapshotHeader{0, header.meta, header.files});
  incoming_->work = std::make_shared<Work>(
      SnapshotWriter(disk_, directory_.incoming_path(), header.files, manifest));
  run([](SnapshotWriter& writer) { return writer.begin(); }, [this] { agree(); });
}

bool SnapshotReceiver::goes_on(NodeId from, const SnapshotHeader& header) const {
  return incoming_ && incoming_->broken && !incoming_->ended && incoming_->from == from &&
         incoming_->meta == header.meta && incoming_->files == header.files;
}

// Tells the sender where to begin.
void SnapshotReceiver::agree() {
  const uint64_t there = incoming_->work->writer.chunks();
  if (there != 0) {
    log(LogLevel::info,
        "a snapshot goes on behind " + std::to_string(there) + " chunks that are here already");
  }
  incoming_->agreed = true;
  incoming_->chunks_taken = incoming_->chunks_written = there;
  answer(incoming_->from, incoming_->transfer, there, SnapshotState::receiving);
}

void SnapshotReceiver::on_chunk(NodeId from, const SnapshotChunk& chunk) {
  Incoming* incoming = current(from, chunk.transfer);
  CHECK(incoming != nullptr || !QRT_MUTANT(M19_NODE), "planted: late chunks are not foreseen");
  if (incoming == nullptr) return;
  if (incoming->ended || !incoming->agreed ||
      incoming->chunks_taken - incoming->chunks_written >= kSnapshotChunksInFlight) {
    return refuse("more chunks at once than agreed");
  }
  ++incoming->chunks_taken;
  incoming->heard_at = executor_.now();
  run([chunk](
          SnapshotWriter& writer) { return writer.write(chunk.file, chunk.offset, chunk.data); },
      [this] {
        ++incoming_->chunks_written;
        answer(incoming_->from, incoming_->transfer, incoming_->chunks_written,
               SnapshotState::receiving);
      });
}

void SnapshotReceiver::on_end(NodeId from, const SnapshotEnd& end) {
  Incoming* incoming = current(from, end.transfer);
  if (incoming == nullptr || incoming->ended) return;
  incoming->ended = true;
  incoming->heard_at = executor_.now();
  const std::string path = directory_.arrived_path(incoming->meta.index);
  run([parent = directory_.snapshots_path(),
       path](SnapshotWriter& writer) { return writer.finish(parent, path); },
      [this] {
        const Incoming whole = std::move(*incoming_);
        incoming_.reset();
        answer(whole.from, whole.transfer, whole.chunks_written, SnapshotState::whole);
        owner_.on_snapshot_whole(whole.from, whole.meta);
      });
}

void SnapshotReceiver::on_disconnected(NodeId peer) {
  if (incoming_ && incoming_->from == peer) incoming_->broken = true;
}

void SnapshotReceiver::discard_leftover() {
  if (incoming_ && !incoming_->broken) return;
  incoming_.reset();
  executor_.run_blocking(
      world::DiskLane::background,
      [&disk = disk_, path = directory_.incoming_path()] {
        // Space only: whatever fails here is tried again by the next transfer.
        if (disk.exists(path)) static_cast<void>(disk.remove_tree(path));
        const std::string manifest = path + ".manifest";
        if (disk.exists(manifest)) static_cast<void>(disk.remove(manifest));
      },
      [] {});
}

}  // namespace quorate::node
