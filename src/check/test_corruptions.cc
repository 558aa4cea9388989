#include "check/test_corruptions.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace quorate::check {
namespace {

// A call with the places of its records.
struct Deed {
  size_t invoked = 0;
  size_t answered = 0;
  Invoked* call = nullptr;
  Answered* answer = nullptr;

  bool plain(Verb verb) const { return !call->what.transaction && call->what.then[0].verb == verb; }
  const Request& request() const { return call->what.then[0]; }
  Answer& first_answer() const { return answer->reply.answers[0]; }
  int64_t& revision() const { return answer->reply.revision; }
};

std::vector<Deed> deeds_of(TestHistory& history) {
  std::map<uint64_t, size_t> calls;
  std::vector<Deed> deeds;
  for (size_t i = 0; i < history.records.size(); ++i) {
    if (auto* call = std::get_if<Invoked>(&history.records[i].record)) calls[call->call] = i;
    if (auto* answer = std::get_if<Answered>(&history.records[i].record)) {
      const size_t invoked = calls[answer->call];
      deeds.push_back({invoked, i, &std::get<Invoked>(history.records[invoked].record), answer});
    }
  }
  return deeds;
}

// A random deed that `wanted` accepts.
std::optional<Deed> pick(TestHistory& history, Rng& rng,
                         const std::function<bool(const Deed&)>& wanted) {
  std::vector<Deed> good;
  for (const Deed& deed : deeds_of(history)) {
    if (wanted(deed)) good.push_back(deed);
  }
  if (good.empty()) return std::nullopt;
  return good[rng.below(good.size())];
}

bool is_strict_read(const Deed& deed) {
  return deed.plain(Verb::get) && !deed.request().serializable && deed.request().revision == 0;
}
bool shows_rows(const Deed& deed) {
  return deed.plain(Verb::get) && !deed.first_answer().rows.empty();
}
bool wrote(const Deed& deed) {
  if (deed.plain(Verb::put)) return true;
  return deed.plain(Verb::erase) && deed.first_answer().count > 0;
}

Answer answer_at(const TestHistory& history, const Request& request, int64_t revision) {
  Answer answer;
  for (const auto& [key, row] : history.rows_at(revision)) {
    const bool inside =
        request.end.empty() ? key == request.key : key >= request.key && key < request.end;
    if (inside) answer.rows.push_back(row);
  }
  answer.count = static_cast<int64_t>(answer.rows.size());
  if (request.limit > 0 && answer.count > request.limit) {
    answer.rows.resize(static_cast<size_t>(request.limit));
    answer.more = true;
  }
  if (request.count_only) answer.rows.clear();
  return answer;
}

// The whole answer is of an older revision, header included; only time tells.
bool stale_read(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, is_strict_read);
  if (!read) return false;
  const auto write = pick(
      history, rng, [&](const Deed& deed) { return wrote(deed) && deed.answered < read->invoked; });
  if (!write) return false;
  read->revision() = write->revision() - 1;
  read->first_answer() = answer_at(history, read->request(), write->revision() - 1);
  return true;
}

// The header is right, the rows are older.
bool stale_rows(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, [](const Deed& deed) {
    return deed.plain(Verb::get) && deed.request().revision == 0 && deed.revision() > 2;
  });
  if (!read) return false;
  const auto older = static_cast<int64_t>(rng.below(static_cast<uint64_t>(read->revision())));
  const Answer answer = answer_at(history, read->request(), older);
  const Answer& old = read->first_answer();
  if (answer.rows == old.rows && answer.count == old.count) return false;
  read->first_answer() = answer;
  return true;
}

// A read shows a write that began only after the read had returned.
bool early_visibility(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, wrote);
  if (!write) return false;
  const auto read = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::get) && deed.request().revision == 0 && deed.answered < write->invoked;
  });
  if (!read) return false;
  read->revision() = write->revision();
  read->first_answer() = answer_at(history, read->request(), write->revision());
  return true;
}

bool value_from_nowhere(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, shows_rows);
  if (!read) return false;
  std::vector<Row>& rows = read->first_answer().rows;
  rows[rng.below(rows.size())].value = "nowhere";
  return true;
}

template <int64_t Row::* field>
bool wrong_number(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, shows_rows);
  if (!read) return false;
  std::vector<Row>& rows = read->first_answer().rows;
  int64_t& value = rows[rng.below(rows.size())].*field;
  value += rng.below(2) == 0 ? 1 : -1;
  return true;
}

bool missing_key(TestHistory& history, Rng& rng) {
  const auto read = pick(
      history, rng, [](const Deed& deed) { return shows_rows(deed) && !deed.first_answer().more; });
  if (!read) return false;
  Answer& answer = read->first_answer();
  answer.rows.erase(answer.rows.begin() + static_cast<ptrdiff_t>(rng.below(answer.rows.size())));
  --answer.count;
  return true;
}

bool extra_key(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, [](const Deed& deed) {
    return deed.plain(Verb::get) && deed.first_answer().count == 0 &&
           deed.request().revision == 0 && !deed.request().count_only;
  });
  if (!read) return false;
  // As it was before it was deleted, or will be after it is written.
  for (const TrueEvent& event : history.events) {
    if (event.erased || event.row.key != read->request().key) continue;
    read->first_answer().rows = {event.row};
    read->first_answer().count = 1;
    return true;
  }
  return false;
}

bool wrong_count(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, [](const Deed& deed) { return deed.plain(Verb::get); });
  if (!read) return false;
  ++read->first_answer().count;
  return true;
}

bool wrong_deleted(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, [](const Deed& deed) { return deed.plain(Verb::erase); });
  if (!write) return false;
  ++write->first_answer().count;
  return true;
}

bool wrong_previous(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, [](const Deed& deed) {
    return (deed.plain(Verb::put) || deed.plain(Verb::erase)) && deed.request().previous &&
           !deed.first_answer().rows.empty();
  });
  if (!write) return false;
  write->first_answer().rows[0].value = "other";
  return true;
}

// The client was told "surely not applied", but it was.
bool failed_write_applied(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, wrote);
  if (!write || write->revision() == history.events.back().revision) return false;
  history.records[write->answered].record = Failed{.call = write->call->call, .why = "sure"};
  return true;
}

// Nobody recorded the write at all.
bool unrecorded_write(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, wrote);
  if (!write || write->revision() == history.events.back().revision) return false;
  history.records.erase(history.records.begin() + static_cast<ptrdiff_t>(write->answered));
  history.records.erase(history.records.begin() + static_cast<ptrdiff_t>(write->invoked));
  return true;
}

// Reads go on as if an acknowledged put had never been.
bool lost_write(TestHistory& history, Rng& rng) {
  const auto write = pick(history, rng, [](const Deed& deed) { return deed.plain(Verb::put); });
  if (!write) return false;
  std::optional<Row> before;
  for (const TrueEvent& event : history.events) {
    if (event.revision == write->revision()) before = event.previous;
  }
  bool changed = false;
  for (const Deed& deed : deeds_of(history)) {
    if (!deed.plain(Verb::get) || deed.request().limit != 0) continue;
    Answer& answer = deed.first_answer();
    for (size_t i = 0; i < answer.rows.size(); ++i) {
      if (answer.rows[i].mod != write->revision()) continue;
      changed = true;
      if (before) {
        answer.rows[i] = *before;
      } else {
        answer.rows.erase(answer.rows.begin() + static_cast<ptrdiff_t>(i));
        --answer.count;
      }
      break;
    }
  }
  return changed;
}

// Two writes of which one surely came first say the opposite.
bool swapped_revisions(TestHistory& history, Rng& rng) {
  const auto first = pick(history, rng, wrote);
  if (!first) return false;
  const auto second = pick(history, rng, [&](const Deed& deed) {
    return wrote(deed) && first->answered < deed.invoked;
  });
  if (!second) return false;
  std::swap(first->revision(), second->revision());
  return true;
}

bool shared_revision(TestHistory& history, Rng& rng) {
  const auto first = pick(history, rng, wrote);
  if (!first) return false;
  const auto second = pick(history, rng, [&](const Deed& deed) {
    return wrote(deed) && deed.revision() != first->revision();
  });
  if (!second) return false;
  second->revision() = first->revision();
  return true;
}

bool wrong_branch(TestHistory& history, Rng& rng) {
  const auto deed = pick(history, rng, [](const Deed& each) {
    return each.call->what.transaction &&
           each.call->what.then.size() == each.call->what.otherwise.size();
  });
  if (!deed) return false;
  deed->answer->reply.succeeded = !deed->answer->reply.succeeded;
  return true;
}

// An answer of a revision that does not exist yet.
bool future_revision(TestHistory& history, Rng& rng) {
  const auto deed = pick(history, rng, [](const Deed& each) { return each.plain(Verb::get); });
  if (!deed) return false;
  deed->revision() = history.events.empty() ? 100'000 : history.events.back().revision + 100'000;
  return true;
}

// ---- In values alone: a value that had surely been replaced before the read began.
bool shows_one_key(const Deed& deed) {
  return deed.plain(Verb::get) && !deed.request().count_only && deed.request().end.empty();
}
bool replaced_value(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, shows_one_key);
  if (!read) return false;
  const std::string& key = read->request().key;
  const auto later = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::put) && deed.request().key == key && deed.answered < read->invoked;
  });
  if (!later) return false;
  const auto earlier = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::put) && deed.request().key == key && deed.answered < later->invoked;
  });
  if (!earlier) return false;
  read->first_answer().rows = {Row{.key = {}, .value = earlier->request().value}};
  read->first_answer().count = 1;
  return true;
}

bool value_of_failed_write(TestHistory& history, Rng& rng) {
  for (TimedRecord& each : history.records) {
    const auto* failed = std::get_if<Failed>(&each.record);
    if (failed == nullptr) continue;
    for (TimedRecord& other : history.records) {
      const auto* call = std::get_if<Invoked>(&other.record);
      if (call == nullptr || call->call != failed->call) continue;
      if (call->what.transaction || call->what.then[0].verb != Verb::put) continue;
      const Request request = call->what.then[0];
      const auto read = pick(history, rng, [&](const Deed& deed) {
        return shows_rows(deed) && deed.request().key == request.key && deed.request().end.empty();
      });
      if (!read) continue;
      read->first_answer().rows[0].value = request.value;
      return true;
    }
  }
  return false;
}

bool value_from_later(TestHistory& history, Rng& rng) {
  const auto read = pick(history, rng, shows_one_key);
  if (!read) return false;
  const auto later = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::put) && deed.request().key == read->request().key &&
           read->answered < deed.invoked;
  });
  if (!later) return false;
  read->first_answer().rows = {Row{.key = {}, .value = later->request().value}};
  read->first_answer().count = 1;
  return true;
}

// ---- Watches.
struct Shown {
  size_t record = 0;
  WatchDelivered* delivered = nullptr;
  const WatchOpened* opened = nullptr;
};

std::vector<Shown> shown_by_watches(TestHistory& history) {
  std::map<uint64_t, const WatchOpened*> watches;
  std::vector<Shown> result;
  for (size_t i = 0; i < history.records.size(); ++i) {
    Record& record = history.records[i].record;
    if (const auto* opened = std::get_if<WatchOpened>(&record)) watches[opened->watch] = opened;
    if (auto* delivered = std::get_if<WatchDelivered>(&record)) {
      result.push_back({i, delivered, watches[delivered->watch]});
    }
  }
  return result;
}

std::optional<Shown> pick_shown(TestHistory& history, Rng& rng,
                                const std::function<bool(const Shown&)>& wanted) {
  std::vector<Shown> good;
  for (const Shown& each : shown_by_watches(history)) {
    if (wanted(each)) good.push_back(each);
  }
  if (good.empty()) return std::nullopt;
  return good[rng.below(good.size())];
}
bool any(const Shown& /*shown*/) { return true; }
bool several_revisions(const Shown& shown) {
  return shown.delivered->events.front().row.mod != shown.delivered->events.back().row.mod;
}

bool event_twice(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  auto& events = shown->delivered->events;
  const auto place = static_cast<ptrdiff_t>(rng.below(events.size()));
  const WatchEvent copy = events[static_cast<size_t>(place)];
  events.insert(events.begin() + place, copy);
  return true;
}

bool answer_twice(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  const TimedRecord copy = history.records[shown->record];
  history.records.insert(history.records.begin() + static_cast<ptrdiff_t>(shown->record), copy);
  return true;
}

bool event_missing(TestHistory& history, Rng& rng) {
  const auto shown =
      pick_shown(history, rng, [](const Shown& each) { return each.delivered->events.size() > 1; });
  if (!shown) return false;
  // Not the last: the watch might have been cut before it was shown.
  auto& events = shown->delivered->events;
  events.erase(events.begin() + static_cast<ptrdiff_t>(rng.below(events.size() - 1)));
  return true;
}

bool answer_missing(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, [&history](const Shown& each) {
    for (size_t i = each.record + 1; i < history.records.size(); ++i) {
      const auto* later = std::get_if<WatchDelivered>(&history.records[i].record);
      if (later != nullptr && later->watch == each.delivered->watch) return true;
    }
    return false;
  });
  if (!shown) return false;
  history.records.erase(history.records.begin() + static_cast<ptrdiff_t>(shown->record));
  return true;
}

bool last_answer_missing(TestHistory& history, Rng& rng) {
  std::map<uint64_t, size_t> last;
  for (size_t i = 0; i < history.records.size(); ++i) {
    const Record& record = history.records[i].record;
    if (const auto* shown = std::get_if<WatchDelivered>(&record)) last[shown->watch] = i;
    if (const auto* ended = std::get_if<WatchEnded>(&record)) last.erase(ended->watch);
    if (const auto* told = std::get_if<WatchProgress>(&record)) last.erase(told->watch);
  }
  if (last.empty()) return false;
  auto chosen = last.begin();
  std::advance(chosen, static_cast<ptrdiff_t>(rng.below(last.size())));
  history.records.erase(history.records.begin() + static_cast<ptrdiff_t>(chosen->second));
  return true;
}

bool events_out_of_order(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, several_revisions);
  if (!shown) return false;
  std::reverse(shown->delivered->events.begin(), shown->delivered->events.end());
  return true;
}

bool revision_split(TestHistory& history, Rng& rng) {
  const auto same = [](const WatchEvent& left, const WatchEvent& right) {
    return left.row.mod == right.row.mod;
  };
  const auto shown = pick_shown(history, rng, [&](const Shown& each) {
    const auto& events = each.delivered->events;
    return std::adjacent_find(events.begin(), events.end(), same) != events.end();
  });
  if (!shown) return false;
  auto& events = shown->delivered->events;
  const auto cut = std::adjacent_find(events.begin(), events.end(), same) + 1;
  WatchDelivered rest = *shown->delivered;
  rest.events.assign(cut, events.end());
  events.erase(cut, events.end());
  const Time at = history.records[shown->record].at;
  history.records.insert(history.records.begin() + static_cast<ptrdiff_t>(shown->record) + 1,
                         {at, rest});
  return true;
}

bool wrong_event_value(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(
      history, rng, [](const Shown& each) { return !each.delivered->events.front().erased; });
  if (!shown) return false;
  shown->delivered->events.front().row.value = "nowhere";
  return true;
}

bool wrong_event_kind(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  auto& events = shown->delivered->events;
  WatchEvent& event = events[rng.below(events.size())];
  event.erased = !event.erased;
  return true;
}

bool previous_missing(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, [](const Shown& each) {
    return each.delivered->events.front().previous.has_value();
  });
  if (!shown) return false;
  shown->delivered->events.front().previous.reset();
  return true;
}

bool previous_wrong(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, [](const Shown& each) {
    return each.delivered->events.front().previous.has_value();
  });
  if (!shown) return false;
  shown->delivered->events.front().previous->version += 1;
  return true;
}

bool foreign_event(TestHistory& history, Rng& rng) {
  const auto shown =
      pick_shown(history, rng, [](const Shown& each) { return each.opened->end.empty(); });
  if (!shown) return false;
  shown->delivered->events.front().row.key = "elsewhere";
  return true;
}

bool unfiltered_event(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  for (TimedRecord& each : history.records) {
    auto* opened = std::get_if<WatchOpened>(&each.record);
    if (opened == nullptr || opened->watch != shown->delivered->watch) continue;
    (shown->delivered->events.front().erased ? opened->no_delete : opened->no_put) = true;
    return true;
  }
  return false;
}

bool event_before_start(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  for (TimedRecord& each : history.records) {
    auto* opened = std::get_if<WatchOpened>(&each.record);
    if (opened == nullptr || opened->watch != shown->delivered->watch) continue;
    opened->from = shown->delivered->events.front().row.mod + 1;
    return true;
  }
  return false;
}

// Progress is told before an event that it covers.
bool early_progress(TestHistory& history, Rng& rng) {
  const auto shown = pick_shown(history, rng, any);
  if (!shown) return false;
  const WatchProgress progress{.watch = shown->delivered->watch,
                               .revision = shown->delivered->events.front().row.mod};
  const Time at = history.records[shown->record].at;
  history.records.insert(history.records.begin() + static_cast<ptrdiff_t>(shown->record),
                         {at, progress});
  return true;
}

// ---- Leases. The generator lets leases run out late; here one ends early.
bool early_end(TestHistory& history, Rng& rng) {
  const auto renewal = pick(history, rng, [&](const Deed& deed) {
    if (deed.plain(Verb::grant)) return true;
    return deed.plain(Verb::keep_alive) && deed.first_answer().ttl > 0;
  });
  if (!renewal) return false;
  const int64_t lease = renewal->request().lease;
  for (const Deed& deed : deeds_of(history)) {  // a revoke would explain it
    if (deed.plain(Verb::revoke) && deed.request().lease == lease) return false;
  }
  for (const TimedRecord& each : history.records) {
    const auto* call = std::get_if<Invoked>(&each.record);
    if (call != nullptr && call->what.then[0].verb == Verb::revoke &&
        call->what.then[0].lease == lease) {
      return false;
    }
  }
  const Time at = history.records[renewal->answered].at;
  const Time invoked = history.records[renewal->invoked].at;
  if (at - invoked > std::chrono::milliseconds(900)) return false;
  history.records.insert(history.records.begin() + static_cast<ptrdiff_t>(renewal->answered) + 1,
                         {at, Expired{.lease = lease, .revision = 0}});
  return true;
}

bool renewed_when_gone(TestHistory& history, Rng& rng) {
  const auto gone = pick(history, rng, [](const Deed& deed) { return deed.plain(Verb::revoke); });
  if (!gone) return false;
  const auto renewal = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::keep_alive) && deed.request().lease == gone->request().lease &&
           gone->answered < deed.invoked;
  });
  if (!renewal) return false;
  renewal->first_answer().ttl = 2;
  return true;
}

bool lives_too_long(TestHistory& history, Rng& rng) {
  const auto question = pick(history, rng, [](const Deed& deed) {
    return deed.plain(Verb::time_to_live) && deed.first_answer().ttl >= 0;
  });
  if (!question) return false;
  const auto granted = pick(history, rng, [&](const Deed& deed) {
    return deed.plain(Verb::grant) && deed.request().lease == question->request().lease;
  });
  if (!granted) return false;
  question->first_answer().ttl = 50;
  return true;
}

}  // namespace

std::vector<Corruption> call_corruptions() {
  return {{"stale read", stale_read},
          {"stale rows", stale_rows},
          {"early visibility", early_visibility},
          {"value from nowhere", value_from_nowhere, true},
          {"wrong version", wrong_number<&Row::version>},
          {"wrong create revision", wrong_number<&Row::create>},
          {"wrong mod revision", wrong_number<&Row::mod>},
          {"missing key", missing_key},
          {"extra key", extra_key},
          {"wrong count", wrong_count, true},
          {"wrong number deleted", wrong_deleted},
          {"wrong previous value", wrong_previous, true},
          {"failed write applied", failed_write_applied},
          {"unrecorded write", unrecorded_write},
          {"lost write", lost_write},
          {"swapped revisions", swapped_revisions},
          {"shared revision", shared_revision},
          {"wrong branch", wrong_branch},
          {"future revision", future_revision},
          {"replaced value", replaced_value, true},
          {"value of a failed write", value_of_failed_write, true},
          {"value from later", value_from_later, true}};
}

std::vector<Corruption> watch_corruptions() {
  return {{"event twice", event_twice},
          {"answer twice", answer_twice},
          {"event missing", event_missing},
          {"answer missing", answer_missing},
          {"last answer missing", last_answer_missing},
          {"events out of order", events_out_of_order},
          {"revision split", revision_split},
          {"wrong event value", wrong_event_value},
          {"wrong event kind", wrong_event_kind},
          {"previous value missing", previous_missing},
          {"previous value wrong", previous_wrong},
          {"foreign event", foreign_event},
          {"unfiltered event", unfiltered_event},
          {"event before the start", event_before_start},
          {"early progress", early_progress}};
}

std::vector<Corruption> lease_corruptions() {
  return {{"lease ended early", early_end},
          {"renewed when gone", renewed_when_gone},
          {"lives too long", lives_too_long}};
}

}  // namespace quorate::check
