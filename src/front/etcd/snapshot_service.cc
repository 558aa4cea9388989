#include "front/etcd/snapshot_service.h"

#include <algorithm>

#include "base/log.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::BackupMember;
using machine::etcd::QueryKind;

namespace {

constexpr std::string_view kService = "etcdserverpb.Maintenance";
// etcd's, and as good as any: a message's head is a thousandth of it.
constexpr size_t kBlobBytes = size_t{32} << 10U;
// One job on the lane: milliseconds, so that what else the lane does gets its turn.
constexpr size_t kPieceBytes = size_t{1} << 20U;
constexpr size_t kMeasuredPerStep = size_t{8} << 20U;
// Each keeps a state of the store alive. Two backups that overlap are already a mistake.
constexpr size_t kSnapshotsMax = 4;

}  // namespace

void SnapshotService::Work::step() {
  piece.clear();
  if (!measured) {
    const auto done = backup->measure(kMeasuredPerStep);
    if (!done) error = done.error();
    measured = done && *done;
    return;
  }
  const auto done = backup->read(kPieceBytes, piece);
  if (!done) error = done.error();
  finished = done && *done;
  digest.add(piece);
}

SnapshotService::SnapshotService(Api& api) : api_(api), paced_(api) {
  api_.server().add_stream(kService, "Snapshot", *this);
}

SnapshotService::Stream* SnapshotService::find(CallId call) {
  const auto found = std::ranges::find_if(
      streams_, [&](const std::unique_ptr<Stream>& each) { return each->call == call; });
  return found == streams_.end() ? nullptr : found->get();
}

std::vector<BackupMember> SnapshotService::members() const {
  machine::Reply reply;
  api_.service().query(machine::etcd::make_query(QueryKind::member_attributes, {}), reply);
  const auto published = machine::etcd::decode_member_attributes_list(reply.body.view());
  std::vector<BackupMember> members;
  for (const node::MemberView& view : api_.service().status().members) {
    BackupMember member{view.id.value, view.name, view.peer_addresses, {}, view.learner};
    const auto found =
        std::ranges::find(published, member.id, &machine::etcd::MemberAttributes::id);
    if (found != published.end()) {
      member.name = found->name;
      member.client_urls = found->client_urls;
    }
    members.push_back(std::move(member));
  }
  return members;
}

void SnapshotService::on_open(CallId call) { api_.admit(call, Api::Learners::served); }

void SnapshotService::on_message(CallId call, std::string_view) {
  if (find(call) != nullptr) return;  // the request is one empty message
  if (api_.machine() == nullptr) return api_.refuse(call, ApiError::unhealthy);
  if (!api_.permit(call, Api::Rights::root)) return;
  if (streams_.size() >= kSnapshotsMax) return api_.refuse(call, ApiError::too_many_requests);
  auto stream = std::make_unique<Stream>();
  stream->call = call;
  stream->work = std::make_shared<Work>();
  stream->work->backup = api_.machine()->backup(members());
  streams_.push_back(std::move(stream));
  paced_.add(call);
  go_on(call);
}

void SnapshotService::go_on(CallId call) {
  Stream* stream = find(call);
  if (stream == nullptr) return;
  api_.executor().run_blocking(
      world::DiskLane::background, [work = stream->work] { work->step(); },
      [this, tether = api_.tether(), call] {
        if (tether.get() != nullptr) on_step(call);  // this service lives as long as the Api
      });
}

void SnapshotService::on_step(CallId call) {
  Stream* stream = find(call);
  if (stream == nullptr) return;
  if (stream->work->error) {
    log(LogLevel::error, "a snapshot could not be made: " + stream->work->error->text);
    api_.server().finish(call, {grpc::Code::internal, stream->work->error->text});
    return;
  }
  if (!stream->work->piece.empty()) return send(*stream);
  go_on(call);
}

// It goes on when all of it has left: on_writable().
void SnapshotService::send(Stream& stream) {
  Work& work = *stream.work;
  const bool finished = work.finished;
  const CallId call = stream.call;
  paced_.leaves(call);
  const uint64_t total = work.backup->bytes();
  const Bytes piece = Bytes::adopt(std::move(work.piece));
  for (size_t offset = 0; offset < piece.size(); offset += kBlobBytes) {
    const Bytes blob = piece.slice(offset, std::min(kBlobBytes, piece.size() - offset));
    stream.sent += blob.size();
    std::string head;
    write_number(2, total - stream.sent, head);
    write_text(4, machine::etcd::kBackupStorageVersion, head);
    write_varint(3U << 3U | 2U, head);
    write_varint(blob.size(), head);
    api_.server().send(call, head, blob);
  }
  if (!finished) return;
  std::string last;
  write_text(3, work.digest.finish(), last);
  write_text(4, machine::etcd::kBackupStorageVersion, last);
  api_.server().answer(call, last, {});
}

void SnapshotService::on_writable(CallId call) {
  paced_.on_writable(call, [this, call] { go_on(call); });
}

void SnapshotService::on_closed(CallId call) {
  paced_.remove(call);
  std::erase_if(streams_, [&](const std::unique_ptr<Stream>& each) { return each->call == call; });
}

void SnapshotService::on_draining() { paced_.refuse_all(ApiError::stopped); }

}  // namespace quorate::front::etcd
