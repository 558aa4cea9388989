#include "check/test_histories.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/check.h"

namespace quorate::check {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

class Store {
 public:
  std::map<std::string, Row> rows;
  int64_t revision = 1;
  std::vector<TrueEvent> events;
  std::map<int64_t, int64_t> leases;  // id -> earliest time of its end

  std::vector<Row> found(const std::string& key, const std::string& end) const {
    std::vector<Row> result;
    const auto last = end.empty() ? rows.upper_bound(key) : rows.lower_bound(end);
    for (auto row = rows.lower_bound(key); row != rows.end() && row != last; ++row) {
      if (!end.empty() && row->first >= end) break;
      result.push_back(row->second);
    }
    return result;
  }
  void put(const std::string& key, const std::string& value, int64_t lease, int64_t at) {
    Row row{key, value, at, at, 1, lease};
    TrueEvent event{.revision = at, .erased = false, .row = {}, .previous = {}};
    if (const auto old = rows.find(key); old != rows.end()) {
      row.create = old->second.create;
      row.version = old->second.version + 1;
      event.previous = old->second;
    }
    event.row = row;
    rows[key] = row;
    events.push_back(event);
  }
  void erase(const std::string& key, int64_t at) {
    events.push_back({.revision = at,
                      .erased = true,
                      .row = Row{.key = key, .value = {}, .mod = at},
                      .previous = rows.at(key)});
    rows.erase(key);
  }
  bool end_lease(int64_t lease) {  // whether keys went with it
    leases.erase(lease);
    std::vector<std::string> gone;
    for (const auto& [key, row] : rows) {
      if (row.lease == lease) gone.push_back(key);
    }
    for (const std::string& key : gone) erase(key, revision + 1);
    if (!gone.empty()) ++revision;
    return !gone.empty();
  }
};

bool holds(const Store& store, const Condition& condition) {
  const auto row = store.rows.find(condition.key);
  const bool there = row != store.rows.end();
  if (condition.target == Target::value) {
    return there &&
           (condition.relation == Relation::equal) == (row->second.value == condition.value);
  }
  const int64_t number = !there                                ? 0
                         : condition.target == Target::mod     ? row->second.mod
                         : condition.target == Target::version ? row->second.version
                         : condition.target == Target::create  ? row->second.create
                                                               : row->second.lease;
  switch (condition.relation) {
    case Relation::equal:
      return number == condition.number;
    case Relation::not_equal:
      return number != condition.number;
    case Relation::less:
      return number < condition.number;
    case Relation::greater:
      return number > condition.number;
  }
  return false;
}

enum class Fate : uint8_t { answered, failed, lost };

struct Busy {
  bool idle = true;
  uint64_t number = 0;
  Call call;
  Fate fate = Fate::answered;
  bool applied = false;
  std::optional<Reply> reply;  // nothing although applied: refused with an error
};

struct Stream {
  uint64_t number = 0;
  WatchOpened opened;
  bool open = false;
  int64_t next = 0;  // first revision not yet delivered
};

class Maker {
 public:
  explicit Maker(const TestWorld& world, Recorder* sink = nullptr)
      : world_(world), sink_(sink), rng_(world.seed), processes_(world.processes) {}

  TestHistory run() {
    streams_.resize(world_.watches);
    while (next_call_ <= world_.calls || !all_idle()) {
      now_ += static_cast<int64_t>(1 + rng_.below(world_.leases ? kSecond / 20 : 1000));
      const uint64_t kind = rng_.below(10);
      if (kind == 0) apply_ghost();
      if (kind == 1 && world_.leases) expire();
      if (kind <= 3 && !streams_.empty()) watch();
      const auto process = static_cast<uint32_t>(rng_.below(world_.processes));
      step(process, processes_[process]);
    }
    for (Stream& stream : streams_) {
      if (stream.open) deliver(stream, ~uint64_t{0});
    }
    record(Settled{});
    return {std::move(records_), std::move(store_.events)};
  }

 private:
  bool all_idle() const {
    return std::all_of(processes_.begin(), processes_.end(),
                       [](const Busy& each) { return each.idle; });
  }
  void record(Record what) {
    ++now_;
    const Time at{Duration(now_)};
    if (sink_ != nullptr) return sink_->record(at, what);
    records_.push_back({at, std::move(what)});
  }
  bool one_in(uint64_t count) { return rng_.below(count) == 0; }

  void step(uint32_t process, Busy& busy) {
    if (busy.idle) {
      if (next_call_ > world_.calls) return;
      busy = {};
      busy.idle = false;
      busy.number = next_call_++;
      busy.call = random_call();
      if (rng_.chance_per_million(world_.failed_per_million)) busy.fate = Fate::failed;
      if (rng_.chance_per_million(world_.unknown_per_million)) busy.fate = Fate::lost;
      return record(Invoked{.call = busy.number, .process = process, .what = busy.call});
    }
    if (busy.fate == Fate::failed) {
      busy.idle = true;
      return record(Failed{.call = busy.number, .why = "no leader"});
    }
    if (busy.fate == Fate::lost) {
      const uint64_t when = rng_.below(3);  // applied before, after or never
      if (when == 0) apply(busy);
      if (when == 1) ghosts_.push_back(busy);
      busy.idle = true;
      return record(Unknown{.call = busy.number, .why = "timed out"});
    }
    if (!busy.applied) return apply(busy);
    busy.idle = true;
    if (busy.reply) {
      record(Answered{.call = busy.number, .reply = *busy.reply});
    } else {
      record(Failed{.call = busy.number, .why = "requested lease not found"});
    }
  }

  void apply_ghost() {
    if (ghosts_.empty()) return;
    const auto which = static_cast<ptrdiff_t>(rng_.below(ghosts_.size()));
    apply(ghosts_[static_cast<size_t>(which)]);
    ghosts_.erase(ghosts_.begin() + which);
  }

  void expire() {
    for (const auto& [lease, end] : store_.leases) {
      if (end > now_ || !one_in(2)) continue;
      const int64_t id = lease;
      const bool keys = store_.end_lease(id);
      if (world_.notes) record(Expired{.lease = id, .revision = keys ? store_.revision : 0});
      return;
    }
  }

  // ---- Calls.
  std::string random_key() {
    const uint64_t number = rng_.below(world_.keys);
    return world_.range_keys == 0 ? "k" + std::to_string(number) : wide_key(number);
  }
  // Keys are fixed-width then, so that their order is that of their numbers.
  std::string end_of_range(const std::string& key) const {
    return wide_key(std::strtoull(key.c_str() + 1, nullptr, 10) + world_.range_keys);
  }
  static std::string wide_key(uint64_t number) {
    const std::string digits = std::to_string(number);
    return "k" + std::string(8 - std::min<size_t>(digits.size(), 8), '0') + digits;
  }
  std::string random_value() {
    if (rng_.chance_per_million(world_.few_values_per_million)) {
      return "few" + std::to_string(rng_.below(3));
    }
    return "v" + std::to_string(next_value_++);
  }
  int64_t random_lease() {
    if (store_.leases.empty() || !one_in(2)) return 0;
    auto lease = store_.leases.begin();
    std::advance(lease, static_cast<ptrdiff_t>(rng_.below(store_.leases.size())));
    return lease->first;
  }

  Request random_get() {
    Request request;
    request.key = random_key();
    if (world_.plain) return request;
    if (one_in(3)) {
      request.end = world_.range_keys == 0 ? "k~" : end_of_range(request.key);
      if (one_in(4)) request.limit = static_cast<int64_t>(1 + rng_.below(3));
    }
    request.count_only = one_in(10);
    if (world_.old_reads && one_in(8))
      request.revision =
          static_cast<int64_t>(1 + rng_.below(static_cast<uint64_t>(store_.revision)));
    return request;
  }
  Request random_put() {
    Request request;
    request.verb = Verb::put;
    request.key = random_key();
    request.value = random_value();
    if (world_.appends && one_in(2)) request.verb = Verb::append;
    if (world_.leases) request.lease = random_lease();
    if (!world_.plain) request.previous = one_in(4);
    return request;
  }
  Request random_erase() {
    Request request;
    request.verb = Verb::erase;
    request.key = random_key();
    request.previous = one_in(4);
    if (!world_.plain && one_in(5)) {
      request.end = world_.range_keys == 0 ? "k~" : end_of_range(request.key);
    }
    return request;
  }
  Call random_transaction() {
    Call call;
    call.transaction = true;
    Condition condition;
    condition.key = random_key();
    const auto row = store_.rows.find(condition.key);
    if (world_.plain || one_in(2)) {
      const bool guess = row != store_.rows.end() && !one_in(3);
      condition.value = guess ? *row->second.value : "few" + std::to_string(rng_.below(3));
    } else {
      condition.target = one_in(3) ? Target::version : Target::mod;
      condition.number = row == store_.rows.end() ? 0 : row->second.mod;
      if (condition.target == Target::version) {
        condition.number = static_cast<int64_t>(rng_.below(3));
        condition.relation = one_in(2) ? Relation::greater : Relation::equal;
      }
    }
    call.conditions.push_back(condition);
    Request write = random_put();
    write.verb = Verb::put;
    write.key = condition.key;
    call.then.push_back(write);
    if (world_.plain) return call;
    if (one_in(3)) {
      Request other = random_put();
      if (other.key != write.key) call.then.push_back(other);
    }
    if (one_in(2)) call.otherwise.push_back(random_get());
    return call;
  }
  Call random_lease_call() {
    Request request;
    const uint64_t kind = rng_.below(5);
    request.verb = kind == 0   ? Verb::grant
                   : kind == 1 ? Verb::revoke
                   : kind == 2 ? Verb::time_to_live
                               : Verb::keep_alive;
    if (request.verb == Verb::grant || store_.leases.empty()) {
      request.verb = Verb::grant;
      request.lease = next_lease_++;
      request.ttl = static_cast<int64_t>(1 + rng_.below(3));
      ttls_[request.lease] = request.ttl;
    } else {
      auto lease = ttls_.begin();
      std::advance(lease, static_cast<ptrdiff_t>(rng_.below(ttls_.size())));
      request.lease = lease->first;
    }
    Call call;
    call.then.push_back(request);
    return call;
  }
  Call random_call() {
    Call call;
    const uint64_t kind = rng_.below(100);
    if (world_.leases && kind < 15) return random_lease_call();
    if (kind < 50) {
      call.then.push_back(random_get());
      call.then[0].serializable = world_.serializable && !world_.plain && one_in(6);
    } else if (kind < 80) {
      call.then.push_back(random_put());
    } else if (kind < 88 || !world_.transactions) {
      call.then.push_back(random_erase());
    } else {
      return random_transaction();
    }
    return call;
  }

  // ---- The store takes a call.
  void apply(Busy& busy) {
    busy.applied = true;
    for (const Request& each : busy.call.then) {
      const bool needed = each.verb == Verb::revoke || (each.verb == Verb::put && each.lease != 0);
      if (needed && !store_.leases.contains(each.lease)) return;
    }
    const int64_t before = store_.revision;
    Reply reply;
    reply.succeeded = std::all_of(busy.call.conditions.begin(), busy.call.conditions.end(),
                                  [this](const Condition& each) { return holds(store_, each); });
    bool changed = false;
    const size_t first = store_.events.size();
    for (const Request& each : reply.succeeded ? busy.call.then : busy.call.otherwise) {
      reply.answers.push_back(answer(each, before + 1, changed));
    }
    if (changed) store_.revision = before + 1;
    std::stable_sort(
        store_.events.begin() + static_cast<ptrdiff_t>(first), store_.events.end(),
        [](const TrueEvent& left, const TrueEvent& right) { return left.row.key < right.row.key; });
    if (!world_.plain) reply.revision = store_.revision;
    busy.reply = reply;
    if (changed && world_.notes && busy.fate == Fate::lost) {
      record(Committed{.revision = store_.revision, .call = busy.number});
    }
  }

  Answer answer(const Request& request, int64_t at, bool& changed) {
    Answer answer;
    switch (request.verb) {
      case Verb::get:
        return read(request);
      case Verb::put:
      case Verb::append: {
        const std::vector<Row> old = store_.found(request.key, {});
        if (request.previous) answer.rows = shown(old);
        const bool longer = request.verb == Verb::append && !old.empty();
        store_.put(request.key, (longer ? *old[0].value : std::string()) + request.value,
                   request.lease, at);
        changed = true;
        break;
      }
      case Verb::erase: {
        const std::vector<Row> old = store_.found(request.key, request.end);
        if (request.previous) answer.rows = shown(old);
        answer.count = static_cast<int64_t>(old.size());
        for (const Row& row : old) store_.erase(row.key, at);
        changed = changed || !old.empty();
        break;
      }
      case Verb::grant:
        store_.leases[request.lease] = end_of(request.lease);
        answer.ttl = request.ttl;
        break;
      case Verb::revoke:
        store_.end_lease(request.lease);
        break;
      case Verb::keep_alive:
        answer.ttl = 0;
        if (store_.leases.contains(request.lease)) {
          store_.leases[request.lease] = end_of(request.lease);
          answer.ttl = ttls_[request.lease];
        }
        break;
      case Verb::time_to_live:
        answer.ttl = -1;
        if (store_.leases.contains(request.lease)) {
          answer.ttl = std::max<int64_t>(
              (store_.leases[request.lease] - now_) / static_cast<int64_t>(kSecond), 0);
        }
        break;
      case Verb::compact:
        break;
    }
    return answer;
  }
  int64_t end_of(int64_t lease) { return now_ + ttls_[lease] * static_cast<int64_t>(kSecond); }

  Answer read(const Request& request) {
    Answer answer;
    Store old;
    if (request.revision != 0) {
      old.rows = TestHistory{{}, store_.events}.rows_at(request.revision);
    }
    std::vector<Row> found = (request.revision != 0 ? old : store_).found(request.key, request.end);
    answer.count = static_cast<int64_t>(found.size());
    if (request.count_only) return answer;
    if (request.limit > 0 && answer.count > request.limit) {
      found.resize(static_cast<size_t>(request.limit));
      answer.more = true;
    }
    answer.rows = shown(found);
    return answer;
  }
  std::vector<Row> shown(std::vector<Row> rows) const {
    if (world_.plain) {
      for (Row& row : rows) row = Row{.key = {}, .value = row.value};
    }
    return rows;
  }

  // ---- Watches.
  void watch() {
    Stream& stream = streams_[rng_.below(streams_.size())];
    if (!stream.open) return open(stream);
    const uint64_t kind = rng_.below(10);
    if (kind == 0) {
      stream.open = false;
      return record(WatchEnded{.watch = stream.number, .compacted = 0, .why = "cut"});
    }
    if (kind == 1 && stream.next > store_.revision && stream.opened.from <= store_.revision) {
      return record(WatchProgress{.watch = stream.number, .revision = store_.revision});
    }
    deliver(stream, 1 + rng_.below(4));
  }
  void open(Stream& stream) {
    WatchOpened opened = stream.opened;
    const bool resumes = stream.number != 0 && stream.next > 0;
    stream.number = opened.watch = next_watch_++;
    stream.open = true;
    if (resumes) {
      opened.from = stream.next;
    } else {
      opened.process = static_cast<uint32_t>(rng_.below(world_.processes));
      opened.key = one_in(2) ? std::string("k") : random_key();
      opened.end = opened.key == "k" ? "k~" : "";
      opened.previous = one_in(2);
      opened.no_put = one_in(8);
      opened.no_delete = one_in(8);
      opened.from =
          one_in(2)
              ? 0
              : static_cast<int64_t>(1 + rng_.below(static_cast<uint64_t>(store_.revision) + 2));
    }
    stream.opened = opened;
    record(opened);
    record(WatchCreated{.watch = stream.number, .revision = store_.revision});
    stream.next = opened.from != 0 ? opened.from : store_.revision + 1;
  }
  bool wanted(const Stream& stream, const TrueEvent& event) const {
    const WatchOpened& opened = stream.opened;
    if (event.erased ? opened.no_delete : opened.no_put) return false;
    return opened.end.empty() ? event.row.key == opened.key
                              : event.row.key >= opened.key && event.row.key < opened.end;
  }
  void deliver(Stream& stream, uint64_t revisions) {
    WatchDelivered delivered{
        .watch = stream.number, .revision = store_.revision, .fragment = false, .events = {}};
    int64_t last = 0;
    for (const TrueEvent& event : store_.events) {
      if (event.revision < stream.next || !wanted(stream, event)) continue;
      if (event.revision != last && revisions-- == 0) break;
      last = event.revision;
      WatchEvent shown{.erased = event.erased, .row = event.row, .previous = {}};
      if (stream.opened.previous) shown.previous = event.previous;
      delivered.events.push_back(shown);
    }
    if (delivered.events.empty()) return;
    stream.next = last + 1;
    record(delivered);
  }

  const TestWorld& world_;
  Recorder* sink_;
  Rng rng_;
  Store store_;
  std::vector<Busy> processes_;
  std::vector<Busy> ghosts_;
  std::vector<Stream> streams_;
  std::vector<TimedRecord> records_;
  std::map<int64_t, int64_t> ttls_;
  int64_t now_ = 0;
  uint64_t next_call_ = 1;
  uint64_t next_value_ = 1;
  uint64_t next_watch_ = 1;
  int64_t next_lease_ = 1000;
};

}  // namespace

std::map<std::string, Row> TestHistory::rows_at(int64_t revision) const {
  std::map<std::string, Row> rows;
  for (const TrueEvent& event : events) {
    if (event.revision > revision) break;
    if (event.erased) {
      rows.erase(event.row.key);
    } else {
      rows[event.row.key] = event.row;
    }
  }
  return rows;
}

TestHistory make_history(const TestWorld& world) { return Maker(world).run(); }

void make_history(const TestWorld& world, Recorder& sink) { Maker(world, &sink).run(); }

History loaded(const TestHistory& history) {
  History result;
  for (const TimedRecord& each : history.records) result.record(each.at, each.record);
  return result;
}

}  // namespace quorate::check
