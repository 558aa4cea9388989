#include "sim/full/watchers.h"

#include <algorithm>

#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::sim::full {
namespace {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_bytes;
using protobuf::write_number;
using protobuf::write_present;

Duration latency(Rng& rng) {
  return Duration(rng.between(20'000, 400'000));  // 20 to 400 microseconds
}

// etcdserverpb.WatchResponse, as far as it is judged.
struct Response {
  int64_t revision = 0;
  bool created = false;
  bool canceled = false;
  int64_t compacted = 0;
  std::string_view reason;
  std::vector<std::string_view> events;
};

int64_t revision_of(std::string_view header) {
  Reader reader(header);
  int64_t revision = 0;
  while (reader.next()) {
    if (reader.field() == varint_field(3)) revision = reader.signed_number();
  }
  return revision;
}

Response read_response(std::string_view wire) {
  Response response;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) response.revision = revision_of(reader.bytes());
    if (reader.field() == varint_field(3)) response.created = reader.boolean();
    if (reader.field() == varint_field(4)) response.canceled = reader.boolean();
    if (reader.field() == varint_field(5)) response.compacted = reader.signed_number();
    if (reader.field() == bytes_field(6)) response.reason = reader.bytes();
    if (reader.field() == bytes_field(11)) response.events.push_back(reader.bytes());
  }
  return response;
}

}  // namespace

Watchers::Watchers(Cluster& cluster, Rng rng)
    : cluster_(cluster), rng_(rng), desks_(cluster.size()), watchers_(cluster.swarm().watchers) {
  for (Watcher& one : watchers_) {
    one.key = "k";
    one.end = "l";
    if (rng_.below(2) == 0) {
      one.key += std::to_string(rng_.below(cluster.swarm().keys));
      one.end.clear();
    }
    const uint64_t kind = rng_.below(4);
    one.puts = kind != 0;
    one.deletions = kind != 1;
    one.previous = rng_.below(2) == 0;
    one.lazy = rng_.below(4) == 0;
  }
  cluster_.set_companion(this);
}

Watchers::~Watchers() { cluster_.set_companion(nullptr); }

void Watchers::start() {
  for (uint64_t watcher = 0; watcher < watchers_.size(); ++watcher) {
    open_later(watcher);
    roam(watcher);
  }
}

// ---- Streams.

void Watchers::on_started(uint64_t member) {
  WatchDesk::Listener& listener = *this;
  if (!watchers_.empty()) desks_[member] = std::make_unique<WatchDesk>(cluster_, member, listener);
}

// The connections break; what was on its way is lost.
void Watchers::on_gone(uint64_t member) {
  desks_[member].reset();
  for (uint64_t watcher = 0; watcher < watchers_.size(); ++watcher) {
    if (watchers_[watcher].stream == 0 || watchers_[watcher].member != member) continue;
    watchers_[watcher].stream = 0;
    open_later(watcher);
  }
}

void Watchers::open_later(uint64_t watcher) {
  const Duration pause = cluster_.swarm().election_timeout / 4 + latency(rng_);
  cluster_.at(cluster_.now() + pause, [this, watcher] { open(watcher); });
}

void Watchers::open(uint64_t watcher) {
  Watcher& one = watchers_[watcher];
  if (one.stream != 0) return;
  one.member = rng_.below(cluster_.size());
  if (desks_[one.member] == nullptr) return open_later(watcher);
  one.stream = next_stream_++;
  one.created = false;
  const bool needs_leader = rng_.below(2) == 0;
  cluster_.executor(one.member)
      .post([this, watcher, stream = one.stream, needs_leader,
             starts = cluster_.member(one.member).starts] {
        const Watcher& there = watchers_[watcher];
        WatchDesk* desk = desks_[there.member].get();
        if (there.stream != stream || desk == nullptr) return;
        if (cluster_.member(there.member).starts != starts) return;
        desk->open(stream, needs_leader);
        desk->hear(stream, create_request(there));
      });
}

std::string Watchers::create_request(const Watcher& watcher) const {
  std::string create;
  write_bytes(1, watcher.key, create);
  write_bytes(2, watcher.end, create);
  write_number(3, watcher.from, create);
  write_number(4, 1, create);  // progress_notify
  std::string filters;
  if (!watcher.puts) filters.push_back(0);
  if (!watcher.deletions) filters.push_back(1);
  write_bytes(5, filters, create);
  write_number(6, watcher.previous ? 1 : 0, create);
  std::string request;
  write_present(1, create, request);
  return request;
}

void Watchers::ask(const Watcher& watcher, const std::string& request) {
  const uint64_t stream = watcher.stream;
  const uint64_t member = watcher.member;
  if (stream == 0 || desks_[member] == nullptr) return;
  cluster_.executor(member).post([this, stream, member, request] {
    if (desks_[member] != nullptr) desks_[member]->hear(stream, request);
  });
}

void Watchers::ask_progress(const Watcher& watcher) {
  std::string request;
  write_present(3, {}, request);
  ask(watcher, request);
}

// The client closes its stream; the member hears of it in a turn.
void Watchers::leave(uint64_t watcher) {
  Watcher& one = watchers_[watcher];
  const uint64_t stream = one.stream;
  one.stream = 0;
  if (stream != 0 && desks_[one.member] != nullptr) {
    cluster_.executor(one.member).post([this, stream, member = one.member] {
      if (desks_[member] != nullptr) desks_[member]->close(stream);
    });
  }
  open_later(watcher);
}

// Now and then it asks for progress, or goes elsewhere; sometimes it wants to hear some of it
// again. Once settled it leaves only a member that leaves something out for long.
void Watchers::roam(uint64_t watcher) {
  const Duration pause =
      cluster_.swarm().election_timeout * static_cast<int64_t>(settled_ ? 10 : rng_.between(1, 8));
  cluster_.at(cluster_.now() + pause, [this, watcher] {
    Watcher& one = watchers_[watcher];
    ask_progress(one);
    const bool stays = settled_ ? expected(one) == nullptr : rng_.below(2) == 0;
    if (!stays && one.stream != 0) {
      leave(watcher);
      if (!settled_ && one.from > 5 && rng_.below(3) == 0) {
        go_to(one, one.from - static_cast<int64_t>(rng_.below(5)));
      }
    }
    roam(watcher);
  });
}

Watchers::Watcher* Watchers::on_stream(uint64_t stream) {
  const auto found = std::ranges::find(watchers_, stream, &Watcher::stream);
  return found == watchers_.end() ? nullptr : &*found;
}

Duration Watchers::next_delay(uint64_t stream) {
  const Watcher* watcher = on_stream(stream);
  const bool late = watcher != nullptr && watcher->lazy && !settled_ && rng_.below(4) == 0;
  return late ? cluster_.swarm().election_timeout : latency(rng_);
}

void Watchers::on_watch_response(uint64_t stream, const std::string& response) {
  if (Watcher* watcher = on_stream(stream)) hear(*watcher, response);
}

void Watchers::on_watch_end(uint64_t stream) {
  Watcher* watcher = on_stream(stream);
  if (watcher == nullptr) return;
  watcher->stream = 0;
  open_later(static_cast<uint64_t>(watcher - watchers_.data()));
}

// ---- The judge.

void Watchers::wrong(const Watcher& watcher, const std::string& text) {
  cluster_.truth().violated(Cluster::id_of(watcher.member),
                            "the watcher of \"" + watcher.key + "\" on stream " +
                                std::to_string(watcher.stream) + " " + text);
}

bool Watchers::wants(const Watcher& watcher, const Model::Change& change) const {
  if (!(change.removed ? watcher.deletions : watcher.puts)) return false;
  if (watcher.end.empty()) return change.key == watcher.key;
  return change.key >= watcher.key && change.key < watcher.end;
}

const Model::Change* Watchers::expected(Watcher& watcher) const {
  const auto& changes = cluster_.truth().model().changes();
  while (watcher.cursor < changes.size() && !wants(watcher, changes[watcher.cursor])) {
    ++watcher.cursor;
  }
  return watcher.cursor == changes.size() ? nullptr : &changes[watcher.cursor];
}

void Watchers::go_to(Watcher& watcher, int64_t revision) const {
  const auto& changes = cluster_.truth().model().changes();
  watcher.from = revision;
  const auto at = std::ranges::lower_bound(changes, revision, {}, &Model::Change::revision);
  watcher.cursor = static_cast<size_t>(at - changes.begin());
}

// Everything up to there must have been heard.
void Watchers::reach(Watcher& watcher, int64_t revision) {
  if (revision > cluster_.truth().model().revision()) {
    return wrong(watcher,
                 "hears of revision " + std::to_string(revision) + ", which nobody has reached");
  }
  const Model::Change* next = expected(watcher);
  if (next != nullptr && next->revision <= revision) {
    return wrong(watcher, "is told of revision " + std::to_string(revision) +
                              " and has not heard of" + next->text + " at revision " +
                              std::to_string(next->revision));
  }
  watcher.from = std::max(watcher.from, revision + 1);
}

void Watchers::hear(Watcher& watcher, std::string_view wire) {
  const Response response = read_response(wire);
  if (response.canceled) {
    if (response.compacted > 0) return hear_end(watcher, response.compacted);
    return wrong(watcher, "is cancelled: " + std::string(response.reason));
  }
  if (response.created) {
    watcher.created = true;
    if (watcher.from == 0) go_to(watcher, response.revision + 1);
    return;
  }
  if (!watcher.created) return wrong(watcher, "hears something before it is created");
  for (const std::string_view event : response.events) hear_event(watcher, event);
  if (!cluster_.truth().broken()) reach(watcher, response.revision);
}

void Watchers::hear_event(Watcher& watcher, std::string_view event) {
  if (cluster_.truth().broken()) return;
  bool removed = false;
  std::string_view record;
  std::string_view previous;
  Reader reader(event);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) removed = reader.number() == 1;
    if (reader.field() == bytes_field(2)) record = reader.bytes();
    if (reader.field() == bytes_field(3)) previous = reader.bytes();
  }
  const auto pair = machine::etcd::decode_key_value(record);
  if (!pair) return wrong(watcher, "gets an event without a key");
  ++events_;
  const std::string heard = change_text(removed, *pair);
  const Model::Change* change = expected(watcher);
  if (change == nullptr || heard != change->text || pair->mod_revision < watcher.from) {
    return wrong(watcher, "hears" + heard + " instead of" +
                              (change == nullptr ? " nothing" : change->text) + ", from revision " +
                              std::to_string(watcher.from) + " on");
  }
  judge_previous(watcher, *change, previous);
  ++watcher.cursor;
}

void Watchers::judge_previous(const Watcher& watcher, const Model::Change& change,
                              std::string_view previous) {
  std::string heard;
  if (!previous.empty()) {
    const auto pair = machine::etcd::decode_key_value(previous);
    heard = pair ? change_text(false, *pair) : " something malformed";
  }
  if (heard == (watcher.previous ? change.previous : std::string())) return;
  // What came before may be compacted.
  const bool lost = change.revision - 1 < cluster_.truth().model().compacted();
  if (heard.empty() && lost) return;
  wrong(watcher, "hears of" + change.text + " after \"" + heard + "\" instead of \"" +
                     change.previous + "\"");
}

// Cancelled because of a compaction: it goes on behind it.
void Watchers::hear_end(Watcher& watcher, int64_t compacted) {
  if (compacted > cluster_.truth().model().compacted() || watcher.from >= compacted) {
    return wrong(watcher, "is cancelled by a compaction at revision " + std::to_string(compacted) +
                              ", but wants revision " + std::to_string(watcher.from));
  }
  go_to(watcher, compacted);
  leave(static_cast<uint64_t>(&watcher - watchers_.data()));
}

std::string Watchers::lacking() const {
  for (const Watcher& watcher : watchers_) {
    Watcher copy = watcher;
    if (watcher.from == 0) return "a watcher has not begun";
    if (const Model::Change* next = expected(copy)) {
      return "the watcher of \"" + watcher.key + "\" has not heard of" + next->text +
             " at revision " + std::to_string(next->revision);
    }
  }
  return {};
}

}  // namespace quorate::sim::full
