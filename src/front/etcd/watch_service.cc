#include "front/etcd/watch_service.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::WatchCancelRequest;
using machine::etcd::WatchCreateRequest;
using machine::etcd::WatchProgressRequest;
using machine::etcd::WatchResponseHead;

namespace {

constexpr int64_t kNoWatcher = -1;  // the id in a response that is about none, or about all

WatchedRange watched_range(const WatchCreateRequest& request) {
  WatchedRange range;
  // An empty key is the smallest one there is.
  range.first = request.key.empty() ? std::string(1, '\0') : std::string(request.key);
  range.single = request.range_end.empty();
  range.unbounded = request.range_end == std::string_view("\0", 1);
  if (!range.unbounded) range.end = request.range_end;
  return range;
}

bool is_empty(const WatchedRange& range) {
  return !range.single && !range.unbounded && range.end <= range.first;
}

}  // namespace

WatchService::WatchService(WatchDoor& door, uint64_t seed)
    : door_(door), options_(door.watch_options()), rng_(seed) {}

WatchService::~WatchService() = default;

WatchStream* WatchService::find(CallId call) const {
  const auto found = streams_.find(key_of(call));
  return found == streams_.end() ? nullptr : found->second.get();
}

void WatchService::on_open(CallId call) {
  if (!door_.admit(call)) return;
  auto stream = std::make_unique<WatchStream>();
  stream->call = call;
  stream->needs_leader = door_.needs_leader(call);
  if (stream->needs_leader) arm_leader_look();
  streams_[key_of(call)] = std::move(stream);
}

void WatchService::on_closed(CallId call) {
  WatchStream* stream = find(call);
  if (stream == nullptr) return;
  if (stream->progress_timer != 0) door_.executor().cancel(stream->progress_timer);
  for (const auto& [id, watcher] : stream->watchers) detach(*watcher);
  streams_.erase(key_of(call));
}

void WatchService::on_draining() {
  // Streams never end by themselves; their clients go on elsewhere from where they are.
  std::vector<CallId> calls;
  for (const auto& [key, stream] : streams_) calls.push_back(stream->call);
  for (const CallId call : calls) door_.refuse(call, ApiError::stopped);
}

void WatchService::on_message(CallId call, std::string_view message) {
  WatchStream* stream = find(call);
  if (stream == nullptr) return;
  const auto request = machine::etcd::decode_watch_request(message);
  if (!request) return door_.refuse(call, ApiError::malformed_request);
  if (door_.machine() == nullptr) return door_.refuse(call, ApiError::unhealthy);
  if (door_.unsent_bytes(call) > kStreamUnreadBytesMax) {
    return door_.refuse(call, ApiError::watch_unread);
  }
  if (const auto* create = std::get_if<WatchCreateRequest>(&*request)) {
    on_create(*stream, *create);
  } else if (const auto* cancel = std::get_if<WatchCancelRequest>(&*request)) {
    on_cancel(*stream, cancel->watch_id);
  } else if (std::holds_alternative<WatchProgressRequest>(*request)) {
    on_progress(*stream);
  }
}

// ---- Creation and cancellation.

std::optional<WatchRefusal> WatchService::choose_id(WatchStream& stream, int64_t& id) {
  if (id != 0) {
    if (stream.watchers.contains(id)) return WatchRefusal::duplicate_id;
    return std::nullopt;
  }
  while (stream.watchers.contains(stream.next_id)) ++stream.next_id;
  id = stream.next_id++;
  return std::nullopt;
}

void WatchService::on_create(WatchStream& stream, const WatchCreateRequest& request) {
  const WatchedRange range = watched_range(request);
  int64_t id = request.watch_id;
  const std::string_view to_the_last("\0", 1);
  if (const auto error = door_.denied_range(
          stream.call, range.first, range.unbounded ? to_the_last : std::string_view(range.end))) {
    return refuse_watcher(stream, cancel_reason(*error));
  }
  std::optional<WatchRefusal> refusal;
  if (is_empty(range)) {
    refusal = WatchRefusal::empty_range;
  } else if (stream.watchers.size() >= kWatchersPerStreamMax ||
             stream.watched_bytes + range.bytes() > kWatchedBytesPerStreamMax) {
    refusal = WatchRefusal::too_many;
  } else if (refusal = choose_id(stream, id); !refusal && request.start_revision < 0) {
    refusal = WatchRefusal::compacted;
  }
  if (refusal) return refuse_watcher(stream, cancel_reason(*refusal));
  add_watcher(stream, request, range, id);
}

void WatchService::refuse_watcher(WatchStream& stream, std::string_view reason) {
  WatchResponseHead head;
  head.watch_id = kNoWatcher;
  head.created = head.canceled = true;
  head.cancel_reason = reason;
  reply(stream, head, door_.revision());
}

void WatchService::add_watcher(WatchStream& stream, const WatchCreateRequest& request,
                               const WatchedRange& range, int64_t id) {
  const int64_t current = door_.revision();
  if (index(Standing::live).empty()) position_ = std::max(position_, current);
  auto watcher = std::make_unique<Watcher>();
  watcher->stream = &stream;
  watcher->id = id;
  watcher->start = request.start_revision;
  watcher->next = request.start_revision > 0 ? request.start_revision : current + 1;
  watcher->no_put = request.no_put;
  watcher->no_delete = request.no_delete;
  watcher->prev_kv = request.prev_kv;
  watcher->fragment = request.fragment;
  watcher->progress_notify = request.progress_notify;
  WatchResponseHead head;
  head.watch_id = id;
  head.created = true;
  reply(stream, head, current);
  stream.watched_bytes += range.bytes();
  const bool behind = watcher->next <= current;
  watcher->standing = behind ? Standing::behind : Standing::live;
  index(watcher->standing).add(range, *watcher);
  if (behind) watcher->queue = behind_.insert(behind_.end(), watcher.get());
  stream.watchers[id] = std::move(watcher);
  if (request.progress_notify) arm_progress(stream);
}

void WatchService::on_cancel(WatchStream& stream, int64_t id) {
  const auto found = stream.watchers.find(id);
  if (found == stream.watchers.end()) return;
  remove_watcher(*found->second);
  WatchResponseHead head;
  head.watch_id = id;
  head.canceled = true;
  reply(stream, head, door_.revision());
}

void WatchService::detach(Watcher& watcher) {
  WatchStream& stream = *watcher.stream;
  stream.watched_bytes -= watcher.group->range.bytes();
  index(watcher.standing).remove(watcher);
  if (watcher.standing == Standing::behind) behind_.erase(watcher.queue);
  if (watcher.standing == Standing::waiting && --stream.waiting == 0) --streams_waiting_;
}

void WatchService::remove_watcher(Watcher& watcher) {
  detach(watcher);
  watcher.stream->watchers.erase(watcher.id);
}

void WatchService::reply(const WatchStream& stream, const WatchResponseHead& head, int64_t revision,
                         const Bytes& events) {
  scratch_.clear();
  door_.write_header(revision, scratch_);
  encode(head, scratch_);
  door_.send(stream.call, scratch_, events);
}

// ---- Progress.

// A watcher that starts in the future, or has seen more than this member's state holds now, must
// not hear of a revision before that.
bool WatchService::may_hear_progress(const Watcher& watcher) const {
  if (QRT_MUTANT(V04_PROGRESS)) return watcher.standing == Standing::live;
  return watcher.standing == Standing::live && watcher.start <= position_ &&
         watcher.next <= position_ + 1;
}

void WatchService::on_progress(WatchStream& stream) {
  follow();
  const bool all = std::ranges::all_of(
      stream.watchers, [this](const auto& entry) { return may_hear_progress(*entry.second); });
  // Nobody there, or somebody behind: no answer, as in etcd; the client asks again.
  if (!all || stream.watchers.empty()) return;
  WatchResponseHead head;
  head.watch_id = kNoWatcher;
  reply(stream, head, position_);
}

void WatchService::arm_progress(WatchStream& stream) {
  if (stream.progress_timer != 0) return;
  const Duration interval = std::max(options_.progress_interval, kProgressIntervalMin);
  // Up to a tenth more, so that many streams do not speak at the same moment.
  const auto tenth = static_cast<uint64_t>(interval.count()) / 10;
  const auto more = static_cast<Duration::rep>(rng_.between(0, tenth));
  stream.progress_timer = door_.executor().at(door_.executor().now() + interval + Duration(more),
                                              [this, alive = tether(), call = stream.call] {
                                                if (alive.expired()) return;
                                                WatchStream* found = find(call);
                                                if (found != nullptr) on_progress_time(*found);
                                              });
}

void WatchService::on_progress_time(WatchStream& stream) {
  stream.progress_timer = 0;
  follow();
  bool any = false;
  for (const auto& [id, watcher] : stream.watchers) {
    if (!watcher->progress_notify) continue;
    any = true;
    const bool quiet = std::exchange(watcher->quiet, true);
    if (!quiet || !may_hear_progress(*watcher) || !has_room(stream)) continue;
    WatchResponseHead head;
    head.watch_id = id;
    reply(stream, head, position_);
  }
  if (any) arm_progress(stream);
}

// ---- Streams that want a leader.

void WatchService::arm_leader_look() {
  if (leader_look_armed_) return;
  leader_look_armed_ = true;
  door_.executor().at(door_.executor().now() + options_.election_timeout, [this, alive = tether()] {
    if (alive.expired()) return;
    leader_look_armed_ = false;
    look_for_leader();
  });
}

void WatchService::look_for_leader() {
  leaderless_looks_ = door_.has_leader() ? 0 : leaderless_looks_ + 1;
  std::vector<CallId> calls;
  for (const auto& [key, stream] : streams_) {
    if (stream->needs_leader) calls.push_back(stream->call);
  }
  if (calls.empty()) {
    leaderless_looks_ = 0;
    return;
  }
  if (leaderless_looks_ >= kLeaderlessLooksMax) {
    for (const CallId call : calls) door_.refuse(call, ApiError::no_leader);
    leaderless_looks_ = 0;
  }
  arm_leader_look();
}

WatchCounts WatchService::counts() const {
  WatchCounts counts;
  counts.streams = streams_.size();
  for (const auto& [key, stream] : streams_) {
    counts.watchers += stream->watchers.size();
    counts.slow_watchers += stream->waiting;
  }
  counts.slow_watchers += behind_.size();
  counts.events = events_sent_;
  return counts;
}

void WatchService::check_invariants() const {
  for (const WatchIndex& index : indexes_) index.check_invariants();
  size_t behind = 0;
  size_t waiting_streams = 0;
  for (const auto& [key, stream] : streams_) {
    size_t waiting = 0;
    for (const auto& [id, watcher] : stream->watchers) {
      CHECK(watcher->id == id && watcher->group != nullptr, "every watcher is in an index");
      behind += watcher->standing == Standing::behind ? 1 : 0;
      waiting += watcher->standing == Standing::waiting ? 1 : 0;
    }
    CHECK(waiting == stream->waiting, "a stream counts its waiting watchers");
    waiting_streams += waiting > 0 ? 1 : 0;
  }
  CHECK(behind == behind_.size(), "who is behind has a turn");
  CHECK(waiting_streams == streams_waiting_, "streams that wait are counted");
}

}  // namespace quorate::front::etcd
