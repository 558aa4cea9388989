#include "check/revisions.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

int64_t bounded(int64_t revision) { return std::clamp<int64_t>(revision, 0, kRevisionMax); }

bool writes(Verb verb) {
  return verb == Verb::put || verb == Verb::append || verb == Verb::erase || verb == Verb::revoke;
}

}  // namespace

Revisions::Revisions(const History& history, const KeyTable& keys, std::vector<Finding>& findings)
    : history_(history), keys_(keys), findings_(findings), first_(history.start_revision()) {
  last_ = first_;
  const std::span<const Operation> operations = history_.operations();
  roles_.reserve(operations.size());
  for (uint32_t i = 0; i < operations.size(); ++i) {
    roles_.push_back(role_of(operations[i]));
    if (operations[i].outcome != Outcome::unknown) continue;
    for (const Span branch : {operations[i].then, operations[i].otherwise}) {
      const std::span<const Step> steps = history_.steps(branch);
      if (std::any_of(steps.begin(), steps.end(),
                      [](const Step& step) { return writes(step.verb); })) {
        unknown_writes_.push_back(i);
        break;
      }
    }
  }
  find_last();
  compare_with_time();
  if (too_many_missing()) return;
  place_writers();
  place_readers();
  laid_out_ = true;
  find_gaps();
  take_notes();
  if (has_gaps()) gather_glimpses();
}

Role Revisions::role_of(const Operation& operation) {
  for (const Step& step : history_.steps(operation.then)) {
    granted_ += step.verb == Verb::grant && operation.outcome != Outcome::failed ? 1 : 0;
  }
  if (operation.outcome != Outcome::ok) return Role::none;
  Role role = Role::observer;
  for (const Step& step : history_.taken(operation)) {
    if (step.verb == Verb::put || step.verb == Verb::append ||
        (step.verb == Verb::erase && step.count != kNotRecorded && step.count > 0)) {
      role = Role::writer;
    } else if (step.verb == Verb::revoke ||
               (step.verb == Verb::erase && step.count == kNotRecorded)) {
      if (role != Role::writer) role = Role::maybe_writer;
    } else if ((step.verb == Verb::get && !step.serializable) || step.verb == Verb::erase) {
      if (role == Role::observer) role = Role::reader;
    }
  }
  if (role == Role::observer && operation.transaction && operation.conditions.count != 0) {
    role = Role::reader;
  }
  if (operation.revision == kNotRecorded) {
    without_revision_ += role == Role::observer ? 0 : 1;
    return Role::none;
  }
  return role;
}

void Revisions::reach(int64_t revision, uint32_t operation) {
  if (revision <= last_) return;
  last_ = revision;
  last_seen_by_ = operation;
}

void Revisions::find_last() {
  const std::span<const Operation> operations = history_.operations();
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (operations[i].outcome != Outcome::ok) continue;
    reach(operations[i].revision, i);
    for (const Step& step : history_.taken(operations[i])) {
      for (const Item& item : history_.items(step)) reach(item.mod, i);
    }
  }
  for (const WatchReply& reply : history_.watch_replies()) {
    if (reply.kind != WatchReplyKind::ended) reach(reply.revision, kNobody);
    for (const Change& change : history_.changes(reply)) reach(change.item.mod, kNobody);
  }
}

// Every revision needs a writer of its own.
bool Revisions::too_many_missing() {
  for (const Item& item : history_.start_items()) granted_ += item.lease > 0 ? 1 : 0;
  const uint64_t makers = history_.operations().size() + granted_;
  // Both are far below 2^63: one is a revision seen, the other at least 1.
  if (static_cast<uint64_t>(last_) - static_cast<uint64_t>(first_) <= makers) return false;
  Finding finding{.rule = "revision from nowhere",
                  .words = "Revision " + std::to_string(last_) + " was seen, but from revision " +
                           std::to_string(first_) + " on at most " + counted(makers, "write") +
                           " can have been made."};
  if (last_seen_by_ != kNobody) {
    finding.words +=
        " It was seen by " + show_operation(history_, history_.operations()[last_seen_by_]) + ".";
    finding.operations.push_back(last_seen_by_);
  }
  findings_.push_back(std::move(finding));
  return true;
}

void Revisions::place_writers() {
  const std::span<const Operation> operations = history_.operations();
  writers_.assign(slot(last_) + 1, kNobody);
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (roles_[i] != Role::writer) continue;
    const Operation& operation = operations[i];
    if (operation.revision <= first_) {  // cannot be; compare_with_time() has said so
      roles_[i] = Role::none;
      continue;
    }
    uint32_t& writer = writers_[slot(operation.revision)];
    if (writer == kNobody) {
      writer = i;
      continue;
    }
    findings_.push_back({.rule = "two writes at one revision",
                         .words = show_operation(history_, operations[writer]) + " and " +
                                  show_operation(history_, operation) +
                                  " both say that they made this revision.",
                         .operations = {writer, i}});
    roles_[i] = Role::none;
  }
}

// Counting sort: revisions are dense.
void Revisions::place_readers() {
  const std::span<const Operation> operations = history_.operations();
  const auto reads = [this](uint32_t i) {
    const Operation& operation = history_.operations()[i];
    return roles_[i] != Role::none && roles_[i] != Role::writer && operation.revision >= first_;
  };
  reader_starts_.assign(slot(last_) + 2, 0);
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (reads(i)) ++reader_starts_[slot(operations[i].revision) + 1];
  }
  for (size_t i = 1; i < reader_starts_.size(); ++i) reader_starts_[i] += reader_starts_[i - 1];
  readers_.resize(reader_starts_.back());
  std::vector<uint32_t> next(reader_starts_.begin(), reader_starts_.end() - 1);
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (reads(i)) readers_[next[slot(operations[i].revision)]++] = i;
  }
}

// Real-time precedence in one pass: whoever starts must not be older than the newest thing that
// anybody had already seen.
void Revisions::compare_with_time() {
  struct Event {
    uint32_t index = kNobody;
    enum class Kind : uint8_t { nothing, invoked, returned, watched } kind = Kind::nothing;
  };
  std::vector<Event> events(history_.places());
  const std::span<const Operation> operations = history_.operations();
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (roles_[i] == Role::none) continue;
    events[operations[i].invoked] = {i, Event::Kind::invoked};
    events[operations[i].returned] = {i, Event::Kind::returned};
  }
  const std::span<const WatchReply> replies = history_.watch_replies();
  for (uint32_t i = 0; i < replies.size(); ++i) {
    events[replies[i].place] = {i, Event::Kind::watched};
  }
  latest_.key = 2 * bounded(first_);
  const auto happened = [this](int64_t key, uint32_t operation, uint32_t reply) {
    if (key > latest_.key) latest_ = {key, operation, reply, false};
  };
  for (const Event& event : events) {
    if (event.kind == Event::Kind::invoked) {
      judge_start(event.index);
    } else if (event.kind == Event::Kind::returned) {
      const bool read = roles_[event.index] == Role::reader;
      const int64_t revision = bounded(operations[event.index].revision);
      happened(2 * revision + (read ? 1 : 0), event.index, kNobody);
    } else if (event.kind == Event::Kind::watched) {
      const WatchReply& reply = replies[event.index];
      int64_t revision = reply.kind == WatchReplyKind::ended ? 0 : reply.revision;
      for (const Change& change : history_.changes(reply)) {
        revision = std::max(revision, change.item.mod);
      }
      if (revision > 0) happened(2 * bounded(revision), kNobody, event.index);
    }
  }
}

void Revisions::judge_start(uint32_t number) {
  const Role role = roles_[number];
  if (role == Role::none || role == Role::observer || latest_.told) return;
  const Operation& operation = history_.operations()[number];
  const int64_t revision = bounded(operation.revision);
  const int64_t newest_allowed = 2 * revision + (role == Role::writer ? -1 : 1);
  if (latest_.key <= newest_allowed) return;
  latest_.told = true;
  Finding finding{.rule = role == Role::writer ? "revisions against time" : "stale read",
                  .words = {},
                  .operations = {number},
                  .wrong = number};
  const std::string known = std::to_string(latest_.key / 2);
  if (latest_.operation != kNobody) {
    finding.operations.insert(finding.operations.begin(), latest_.operation);
    finding.words = show_operation(history_, history_.operations()[latest_.operation]) +
                    " had returned before " + show_operation(history_, operation) + " began";
  } else if (latest_.watch_reply == kNobody) {
    finding.words = "The store stood at revision " + known + " before " +
                    show_operation(history_, operation) + " began";
  } else {
    finding.watch_replies.push_back(latest_.watch_reply);
    const WatchReply& reply = history_.watch_replies()[latest_.watch_reply];
    finding.words = "A watch had shown revision " + known + " (at " +
                    show_time(history_, reply.at) + ") before " +
                    show_operation(history_, operation) + " began";
  }
  finding.words += role == Role::writer
                       ? ". So revision " + known + " existed before the write, whose own " +
                             "revision should be higher."
                       : ". So revision " + known +
                             " existed before the call, which should "
                             "have seen at least that one.";
  findings_.push_back(std::move(finding));
}

void Revisions::find_gaps() {
  for (int64_t revision = first_ + 1; revision <= last_; ++revision) {
    if (writer(revision) == kNobody) gaps_[revision];
  }
  if (gaps_.empty()) return;
  // Who saw each revision or a later one first.
  std::vector<Known> known(slot(last_) + 1);
  const auto note = [&](int64_t revision, const Known& by) {
    if (revision < first_) return;
    Known& entry = known[slot(revision)];
    if (by.place < entry.place) entry = by;
  };
  const std::span<const Operation> operations = history_.operations();
  for (uint32_t i = 0; i < operations.size(); ++i) {
    const Operation& operation = operations[i];
    if (operation.outcome != Outcome::ok) continue;
    const Known by{operation.returned, operation.returned_at, i};
    note(operation.revision, by);
    for (const Step& step : history_.taken(operation)) {
      for (const Item& item : history_.items(step)) note(item.mod, by);
    }
  }
  for (const WatchReply& reply : history_.watch_replies()) {
    const Known by{reply.place, reply.at, kNobody};
    if (reply.kind != WatchReplyKind::ended) note(reply.revision, by);
    for (const Change& change : history_.changes(reply)) note(change.item.mod, by);
  }
  for (size_t i = known.size() - 1; i-- > 0;) {
    if (known[i + 1].place < known[i].place) known[i] = known[i + 1];
  }
  for (auto& [revision, gap] : gaps_) gap.known = known[slot(revision)];
}

// What a simulator knows about who made which revision.
void Revisions::take_notes() {
  for (const ExpiryNote& note : history_.expiries()) {
    const auto gap = gaps_.find(note.revision);
    if (gap != gaps_.end()) gap->second.expired = note.lease;
  }
  if (history_.commits().empty()) return;
  const std::span<const Operation> operations = history_.operations();
  std::vector<uint32_t> by_call(operations.size());
  for (uint32_t i = 0; i < by_call.size(); ++i) by_call[i] = i;
  std::sort(by_call.begin(), by_call.end(), [&](uint32_t left, uint32_t right) {
    return operations[left].call < operations[right].call;
  });
  for (const CommitNote& note : history_.commits()) {
    const auto found = std::partition_point(by_call.begin(), by_call.end(), [&](uint32_t each) {
      return operations[each].call < note.call;
    });
    if (found == by_call.end() || operations[*found].call != note.call) continue;
    const Operation& operation = operations[*found];
    if (operation.outcome == Outcome::unknown) {
      const auto gap = gaps_.find(note.revision);
      if (gap != gaps_.end()) gap->second.made_by = *found;
      continue;
    }
    const bool failed = operation.outcome == Outcome::failed;
    if (!failed && (roles_[*found] != Role::writer || operation.revision == note.revision)) {
      continue;
    }
    findings_.push_back({.rule = failed ? "effect of a failed write" : "revision of another write",
                         .words = show_operation(history_, operation) + " in truth made revision " +
                                  std::to_string(note.revision) + ".",
                         .operations = {*found}});
  }
}

void Revisions::add_glimpse(const Item& item, bool erased, uint32_t watch_reply) {
  if (item.mod != kNotRecorded) {
    const auto gap = gaps_.find(item.mod);
    if (gap != gaps_.end()) {
      gap->second.seen.push_back({keys_.rank(item.key), erased, item, watch_reply});
    }
  }
  if (erased || item.create == kNotRecorded || item.create == item.mod) return;
  const auto gap = gaps_.find(item.create);
  if (gap == gaps_.end()) return;
  const Item created{.key = item.key, .create = item.create, .mod = item.create, .version = 1};
  gap->second.seen.push_back({keys_.rank(item.key), false, created, watch_reply});
}

void Revisions::gather_rests(uint32_t number, const Step& step) {
  const Operation& operation = history_.operations()[number];
  if (operation.revision == kNotRecorded) return;
  const bool before = roles_[number] == Role::writer || roles_[number] == Role::maybe_writer;
  int64_t until = operation.revision - (before ? 1 : 0);
  if (step.verb == Verb::get && step.revision > 0) until = std::min(until, step.revision);
  for (const Item& item : history_.items(step)) {
    if (item.mod == kNotRecorded) continue;
    if (item.create != kNotRecorded && item.version != kNotRecorded && item.create >= first_ &&
        item.mod <= last_) {
      sightings_[keys_.rank(item.key)].push_back({item.create, item.mod, item.version, number});
    }
    if (item.mod >= until) continue;
    rests_[keys_.rank(item.key)].push_back({item.mod, until, number});
  }
}

void Revisions::gather_erases() {
  erases_.of_key.resize(keys_.size());
  Place unknown_from = kOpen;
  for (const Operation& operation : history_.operations()) {
    if (operation.outcome == Outcome::failed) continue;
    const bool placed = operation.outcome == Outcome::ok && operation.revision != kNotRecorded;
    for (const Span branch : {operation.then, operation.otherwise}) {
      for (const Step& step : history_.steps(branch)) {
        erases_.anywhere = erases_.anywhere || step.lease != 0 || step.verb == Verb::revoke;
        if (step.verb != Verb::erase) continue;
        if (!placed) {
          unknown_from = std::min(unknown_from, operation.invoked);
        } else if (history_.text(step.end).empty()) {
          erases_.of_key[keys_.rank(step.key)].push_back(operation.revision);
        } else {
          erases_.of_ranges.push_back(operation.revision);
        }
      }
    }
  }
  for (const Item& item : history_.start_items()) {
    erases_.anywhere = erases_.anywhere || item.lease > 0;
  }
  for (std::vector<int64_t>& each : erases_.of_key) std::sort(each.begin(), each.end());
  std::sort(erases_.of_ranges.begin(), erases_.of_ranges.end());
  for (const auto& [revision, gap] : gaps_) {
    if (gap.known.place < unknown_from) continue;
    erases_.first_gap = revision;
    break;
  }
}

// The last revision, up to this one, that may have deleted the key; else that of the start.
int64_t Revisions::last_erase(Rank rank, int64_t revision) const {
  int64_t last = first_;
  for (const std::vector<int64_t>* each : {&erases_.of_key[rank], &erases_.of_ranges}) {
    const auto behind = std::upper_bound(each->begin(), each->end(), revision);
    if (behind != each->begin()) last = std::max(last, *(behind - 1));
  }
  const auto gap = gaps_.upper_bound(revision);
  if (gap != gaps_.begin() && std::prev(gap)->first >= erases_.first_gap) {
    last = std::max(last, std::prev(gap)->first);
  }
  return last;
}

void Revisions::add_absence(Rank rank, int64_t until, uint32_t seen_by) {
  if (rank == kNoRank || until <= first_ || until > last_) return;
  const int64_t from = last_erase(rank, until);
  std::vector<Rest>& rests = rests_[rank];
  const bool known = !rests.empty() && rests.back().from == from && rests.back().until >= until;
  if (from < until && !known) rests.push_back({from, until, seen_by, true});
}

void Revisions::gather_lives() {
  std::vector<std::vector<int64_t>> known_puts(keys_.size());
  for (int64_t revision = first_ + 1; revision <= last_; ++revision) {
    if (writer(revision) == kNobody) continue;
    for (const Step& step : history_.taken(history_.operations()[writer(revision)])) {
      if (step.verb == Verb::put) known_puts[keys_.rank(step.key)].push_back(revision);
    }
  }
  for (Rank rank = 0; rank < sightings_.size(); ++rank) add_life(rank, known_puts[rank]);
  sightings_ = {};
}

// Where all puts between two sightings are known, the key rested between these.
void Revisions::add_life(Rank rank, const std::vector<int64_t>& known_puts) {
  std::vector<Sighting>& all = sightings_[rank];
  std::sort(all.begin(), all.end(), [](const Sighting& left, const Sighting& right) {
    return std::tie(left.create, left.mod) < std::tie(right.create, right.mod);
  });
  for (size_t i = 0; i < all.size(); ++i) {
    const bool same_life = i > 0 && all[i - 1].create == all[i].create;
    const Sighting born{.create = all[i].create, .mod = all[i].create, .version = 1};
    const Sighting& before = same_life ? all[i - 1] : born;
    if (before.mod >= all[i].mod) continue;
    auto put = std::upper_bound(known_puts.begin(), known_puts.end(), before.mod);
    const auto end = std::lower_bound(put, known_puts.end(), all[i].mod);
    if (all[i].version - before.version != end - put + 1) continue;
    const auto rests_between = [&](int64_t from, int64_t next) {
      if (from < next - 1) rests_[rank].push_back({from, next - 1, all[i].seen_by});
    };
    int64_t from = before.mod;
    for (; put != end; ++put) {
      rests_between(from, *put);
      from = *put;
    }
    rests_between(from, all[i].mod);
  }
}

void Revisions::gather_absences(uint32_t number, const Step& step) {
  if (erases_.anywhere) return;
  for (const Item& item : history_.items(step)) {
    if (item.create == kNotRecorded || item.create > last_) continue;
    add_absence(keys_.rank(item.key), item.create - 1, number);
  }
}

void Revisions::gather_glimpses() {
  rests_.resize(keys_.size());
  sightings_.resize(keys_.size());
  gather_erases();
  const std::span<const Operation> operations = history_.operations();
  for (uint32_t i = 0; i < operations.size(); ++i) {
    if (operations[i].outcome != Outcome::ok) continue;
    for (const Step& step : history_.taken(operations[i])) {
      for (const Item& item : history_.items(step)) add_glimpse(item, false, kNobody);
      gather_rests(i, step);
      gather_absences(i, step);
    }
  }
  for (uint32_t i = 0; i < history_.watch_replies().size(); ++i) {
    for (const Change& change : history_.changes(history_.watch_replies()[i])) {
      add_glimpse(change.item, change.erased, i);
      watched_.push_back({keys_.rank(change.item.key), change.erased, change.item, i});
      if (change.has_previous) add_glimpse(change.previous, false, i);
    }
  }
  gather_lives();
  std::stable_sort(watched_.begin(), watched_.end(), [](const Glimpse& left, const Glimpse& right) {
    return left.item.mod < right.item.mod;
  });
  for (std::vector<Rest>& rests : rests_) {
    std::sort(rests.begin(), rests.end(), [](const Rest& left, const Rest& right) {
      return left.from != right.from ? left.from < right.from : left.until < right.until;
    });
  }
}

std::span<const Glimpse> Revisions::watched(int64_t revision) const {
  const auto low =
      std::partition_point(watched_.begin(), watched_.end(),
                           [revision](const Glimpse& each) { return each.item.mod < revision; });
  const auto high = std::partition_point(
      low, watched_.end(), [revision](const Glimpse& each) { return each.item.mod <= revision; });
  return {low, high};
}

const Rest* Revisions::rest(Rank rank, int64_t revision) const {
  if (rank == kNoRank || rests_.empty()) return nullptr;
  const std::vector<Rest>& rests = rests_[rank];
  const auto behind = std::partition_point(
      rests.begin(), rests.end(), [revision](const Rest& each) { return each.from < revision; });
  if (behind == rests.begin() || (behind - 1)->until < revision) return nullptr;
  return &*(behind - 1);
}

}  // namespace quorate::check
