// From the store to the watchers: following it, catching up with it, and slow readers.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "front/etcd/watch_service.h"

namespace quorate::front::etcd {

using machine::etcd::Change;
using machine::etcd::WatchEvent;
using machine::etcd::WatchResponseHead;

void WatchService::on_turn_end() {
  if (streams_.empty()) return;
  follow();
  if (behind_.empty() || catch_up_posted_ || door_.machine() == nullptr) return;
  catch_up_posted_ = true;
  door_.executor().post([this, alive = tether()] {
    if (alive.expired()) return;
    catch_up_posted_ = false;
    catch_up();
  });
}

void WatchService::move(Watcher& watcher, Standing standing) {
  if (watcher.standing == standing) return;
  const WatchedRange range = watcher.group->range;  // the group may end here
  WatchStream& stream = *watcher.stream;
  index(watcher.standing).remove(watcher);
  if (watcher.standing == Standing::behind) behind_.erase(watcher.queue);
  if (watcher.standing == Standing::waiting && --stream.waiting == 0) --streams_waiting_;
  watcher.standing = standing;
  index(standing).add(range, watcher);
  if (standing == Standing::behind) watcher.queue = behind_.insert(behind_.end(), &watcher);
  if (standing == Standing::waiting) {
    if (++stream.waiting == 1) ++streams_waiting_;
    arm_room_look();
  }
}

bool WatchService::has_room(const WatchStream& stream) const {
  if (QRT_MUTANT(V08_MEMORY)) return true;
  return door_.unsent_bytes(stream.call) <= kStreamUnsentBytesMax && !door_.congested(stream.call);
}

// ---- One step through the store.

WatchService::Step WatchService::look(const Machine& machine, const WatchIndex& index,
                                      int64_t first) {
  Step step;
  step.first = first;
  step.last = machine.revisions().current;
  int64_t revision = 0;
  int64_t revisions = 0;
  size_t bytes = 0;
  machine.changes(first, [&](const Change& change) {
    if (change.revision.main != revision) {
      if (revisions == kRevisionsPerStepMax || bytes >= kScannedBytesPerStepMax) {
        step.last = revision;
        return false;
      }
      revision = change.revision.main;
      ++revisions;
    }
    bytes += change.record.size();
    const auto position = static_cast<uint32_t>(step.events.size());
    bool wanted = false;
    index.find(change.key, [&](WatchGroup& group) {
      if (group.hits.empty()) step.touched.push_back(&group);
      group.hits.push_back(position);
      wanted = true;
    });
    if (wanted) {
      step.events.push_back({revision, change.tombstone, std::string(change.key),
                             std::string(change.record), Bytes(), Bytes()});
    }
    return true;
  });
  return step;
}

std::vector<WatchService::Piece> WatchService::assemble(const Machine& machine, Step& step,
                                                        const WatchGroup& group, const Wish& wish) {
  std::vector<Piece> pieces;
  std::vector<const Bytes*> parts;
  std::vector<size_t> ends;
  std::vector<int64_t> revisions;
  const auto close = [&] {
    Piece piece{Bytes(), std::move(ends), std::move(revisions)};
    if (parts.size() == 1) {
      piece.body = *parts.front();
    } else {
      std::string body;
      body.reserve(piece.ends.back());
      for (const Bytes* part : parts) body.append(part->view());
      piece.body = Bytes::adopt(std::move(body));
    }
    pieces.push_back(std::move(piece));
    parts.clear();
    ends.clear();
    revisions.clear();
  };
  int64_t revision = 0;
  for (const uint32_t hit : group.hits) {
    Event& event = step.events[hit];
    if (event.removed ? wish.no_delete : wish.no_put) continue;
    const bool may_end = event.revision != revision || QRT_MUTANT(V09_SPLIT);
    if (!parts.empty() && may_end && ends.back() >= kResponseBytesEnough) {
      close();
    }
    revision = event.revision;
    Bytes& encoded = wish.prev_kv ? event.with_previous : event.plain;
    if (encoded.empty()) {
      std::string before;
      WatchEvent element{event.removed, event.revision, event.record, std::nullopt};
      if (wish.prev_kv && !is_creation(element)) {
        const int64_t earlier = QRT_MUTANT(V09_PREVIOUS) ? 0 : 1;
        element.previous = machine.record_at(event.key, event.revision - earlier, before);
      }
      std::string text;
      encode(element, text);
      encoded = Bytes::adopt(std::move(text));
    }
    parts.push_back(&encoded);
    ends.push_back((ends.empty() ? 0 : ends.back()) + encoded.size());
    revisions.push_back(revision);
  }
  if (!parts.empty()) close();
  return pieces;
}

// Most watchers of a group want the same, so its responses are put together once for each wish. Who
// already has the first of these events gets the rest of the same bytes.
void WatchService::deliver_group(const Machine& machine, Step& step, WatchGroup& group,
                                 std::vector<Watcher*>& fallen) {
  std::array<std::optional<std::vector<Piece>>, 8> shared;
  const int64_t last_hit = step.events[group.hits.back()].revision;
  for (Watcher* watcher : group.watchers) {
    // Who is further behind than this step begins gets a step of its own.
    if (watcher->standing == Standing::behind && watcher->next < step.first) continue;
    const int64_t from = QRT_MUTANT(V04_EARLY) ? 0 : watcher->next;
    if (from > last_hit) continue;
    const Wish wish{watcher->no_put, watcher->no_delete, watcher->prev_kv};
    const size_t kind =
        (wish.no_put ? 4U : 0U) + (wish.no_delete ? 2U : 0U) + (wish.prev_kv ? 1U : 0U);
    if (!shared.at(kind)) shared.at(kind) = assemble(machine, step, group, wish);
    if (!deliver(step, *watcher, from, *shared.at(kind))) fallen.push_back(watcher);
  }
  group.hits.clear();
}

// False: its stream has no room for more, and `next` is where to go on.
bool WatchService::deliver(const Step& step, Watcher& watcher, int64_t from,
                           const std::vector<Piece>& pieces) {
  int64_t next = std::max(watcher.next, step.first);
  for (const Piece& piece : pieces) {
    const int64_t last = piece.revisions.back();
    if (last < from) continue;
    if (!has_room(*watcher.stream)) {
      watcher.next = next;
      return false;
    }
    const auto first = std::ranges::lower_bound(piece.revisions, from);
    // The revision of a response must never promise more than what has been sent with it.
    const bool is_last = &piece == &pieces.back() || QRT_MUTANT(V05_HEADER);
    send_piece(watcher, piece, static_cast<size_t>(first - piece.revisions.begin()),
               is_last ? step.last : last);
    next = last + 1;
  }
  return true;
}

// The events from the one with number `event` on.
void WatchService::send_piece(Watcher& watcher, const Piece& piece, size_t event,
                              int64_t revision) {
  watcher.quiet = false;
  events_sent_ += piece.ends.size() - event;
  WatchResponseHead head;
  head.watch_id = watcher.id;
  const size_t enough = options_.message_bytes_max;
  size_t begin = event == 0 ? 0 : piece.ends[event - 1];
  if (!watcher.fragment || piece.body.size() - begin < enough) {
    const size_t size = piece.body.size() - begin;
    reply(*watcher.stream, head, revision, begin == 0 ? piece.body : piece.body.slice(begin, size));
    return;
  }
  for (; event < piece.ends.size(); ++event) {
    const bool is_last = event + 1 == piece.ends.size();
    // Always one event at least; then as many as stay below the limit.
    if (!is_last && piece.ends[event + 1] - begin < enough) continue;
    head.fragment = !is_last;
    reply(*watcher.stream, head, revision, piece.body.slice(begin, piece.ends[event] - begin));
    begin = piece.ends[event];
  }
}

// ---- Live watchers.

void WatchService::follow() {
  const Machine* machine = door_.machine();
  if (machine == nullptr) return;  // it is on its way from a peer
  const int64_t current = machine->revisions().current;
  if (current < position_) go_back(current);
  if (current == position_) return;
  if (index(Standing::live).empty()) {
    position_ = current;
    return;
  }
  if (position_ + 1 < machine->changes_complete_from()) {
    lose_live();
    position_ = current;
    return;
  }
  Step step = look(*machine, index(Standing::live), position_ + 1);
  std::vector<Watcher*> fallen;
  for (WatchGroup* group : step.touched) deliver_group(*machine, step, *group, fallen);
  position_ = step.last;
  if (QRT_MUTANT(V08_LOST)) fallen.clear();
  for (Watcher* watcher : fallen) move(*watcher, Standing::waiting);
  if (position_ < current) door_.executor().post([] {});  // the rest at the end of another turn
}

// A state was lost with its disk, and what came from a peer in its place is older. The log brings
// the rest again; nobody gets it twice.
void WatchService::go_back(int64_t current) {
  if (QRT_MUTANT(V06_BACK)) {
    position_ = current;
    return;
  }
  for (const auto& [key, stream] : streams_) {
    for (const auto& [id, watcher] : stream->watchers) {
      if (watcher->standing == Standing::live) {
        watcher->next = std::max(watcher->next, position_ + 1);
      }
    }
  }
  position_ = current;
}

// A snapshot took the state's place, and the changes in between are compacted away in it.
void WatchService::lose_live() {
  for (const auto& [key, stream] : streams_) {
    for (const auto& [id, watcher] : stream->watchers) {
      if (watcher->standing != Standing::live) continue;
      watcher->next = std::max(watcher->next, position_ + 1);
      move(*watcher, Standing::behind);
    }
  }
}

// ---- Watchers that are behind.

void WatchService::cancel_compacted(int64_t compacted) {
  std::vector<Watcher*> gone;
  for (Watcher* watcher : behind_) {
    if (watcher->next < compacted && !QRT_MUTANT(V06_GONE)) gone.push_back(watcher);
  }
  for (Watcher* watcher : gone) {
    WatchResponseHead head;
    head.watch_id = watcher->id;
    head.canceled = true;
    head.compact_revision = compacted;
    reply(*watcher->stream, head, 0);
    remove_watcher(*watcher);
  }
}

// One step of reading, for the watcher whose turn it is and all that are at or beyond where it
// begins. Those which need what lies before it have their turn later.
void WatchService::catch_up() {
  const Machine* machine = door_.machine();
  if (machine == nullptr) return;
  const machine::etcd::Revisions revisions = machine->revisions();
  cancel_compacted(revisions.compacted);
  if (behind_.empty()) return;
  Watcher* turn = behind_.front();
  Step step;
  step.first = turn->next;
  step.last = revisions.current;
  if (step.first <= revisions.current) {
    step = look(*machine, index(Standing::behind), step.first);
  }
  std::vector<Watcher*> reached;
  for (Watcher* watcher : behind_) {
    if (watcher->next >= step.first) reached.push_back(watcher);
  }
  std::vector<Watcher*> fallen;
  for (WatchGroup* group : step.touched) deliver_group(*machine, step, *group, fallen);
  for (Watcher* watcher : fallen) move(*watcher, Standing::waiting);
  for (Watcher* watcher : reached) {
    if (watcher->standing != Standing::behind) continue;
    watcher->next = std::max(watcher->next, step.last + 1);
    const bool has_all = watcher->next > position_ || QRT_MUTANT(V06_JOIN);
    if (has_all) move(*watcher, Standing::live);
  }
  if (turn->standing == Standing::behind) {
    behind_.splice(behind_.end(), behind_, turn->queue);
  }
}

// ---- Watchers whose client does not read.

void WatchService::arm_room_look() {
  if (room_look_armed_) return;
  room_look_armed_ = true;
  door_.executor().at(door_.executor().now() + kRoomLookInterval, [this, alive = tether()] {
    if (alive.expired()) return;
    room_look_armed_ = false;
    look_for_room();
  });
}

void WatchService::look_for_room() {
  for (const auto& [key, stream] : streams_) {
    if (stream->waiting == 0 || !has_room(*stream)) continue;
    for (const auto& [id, watcher] : stream->watchers) {
      if (watcher->standing == Standing::waiting) move(*watcher, Standing::behind);
    }
  }
  if (streams_waiting_ > 0) arm_room_look();
}

}  // namespace quorate::front::etcd
