#include "check/gap_makers.h"

#include <algorithm>
#include <tuple>

namespace quorate::check {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

bool shows(const Glimpse& glimpse, const VersionedStore& store, int64_t revision) {
  const Version* version = store.last(glimpse.rank);
  if (version == nullptr || version->mod != revision) return false;
  return glimpse.erased ? version->erased() : !version->erased() && agrees(glimpse.item, *version);
}

bool Footprint::holds(Rank rank) const {
  return leases || keys.count(rank) != 0 ||
         std::any_of(erased.begin(), erased.end(),
                     [rank](const RankRange& range) { return range.holds(rank); });
}

void Footprint::add(const Footprint& other) {
  keys.insert(other.keys.begin(), other.keys.end());
  erased.insert(erased.end(), other.erased.begin(), other.erased.end());
  leases = leases || other.leases;
}

GapMakers::GapMakers(const History& history, const KeyTable& keys, const Revisions& revisions,
                     VersionedStore& store)
    : history_(history),
      keys_(keys),
      revisions_(revisions),
      store_(store),
      applier_(history, keys, store),
      used_(revisions.unknown_writes().size(), false) {
  if (!revisions.has_gaps()) return;
  index_requests();
  index_silences();
  index_leases();
}

size_t GapMakers::unknown_index(uint32_t operation) const {
  const std::span<const uint32_t> all = revisions_.unknown_writes();
  return static_cast<size_t>(std::lower_bound(all.begin(), all.end(), operation) - all.begin());
}

void GapMakers::set_used(uint32_t operation, bool used) {
  const std::span<const uint32_t> all = revisions_.unknown_writes();
  const size_t place = unknown_index(operation);
  if (place < all.size() && all[place] == operation) used_[place] = used;
}

void GapMakers::index_requests() {
  const std::span<const uint32_t> all = revisions_.unknown_writes();
  using Wanted = std::tuple<Verb, TextId, TextId, TextId, int64_t, bool, bool, uint32_t>;
  std::vector<std::pair<Wanted, uint32_t>> requests;
  for (uint32_t place = 0; place < all.size(); ++place) {
    const Operation& operation = history_.operations()[all[place]];
    const std::span<const Step> then = history_.steps(operation.then);
    if (operation.transaction || then.empty()) {
      conditional_ = conditional_ || operation.conditions.count != 0;
      requests.emplace_back(Wanted{Verb::get, 0, 0, 0, 0, false, false, place}, place);
    } else {
      const Step& step = then[0];
      requests.emplace_back(Wanted{step.verb, step.key, step.end, step.value, step.lease,
                                   step.ignore_value, step.ignore_lease, 0},
                            place);
    }
    bool erases = false;
    for (const Span branch : {operation.then, operation.otherwise}) {
      for (const Step& step : history_.steps(branch)) {
        if (step.verb == Verb::put) puts_.emplace_back(keys_.rank(step.key), place);
        erases = erases || step.verb == Verb::erase || step.verb == Verb::revoke;
      }
    }
    if (erases) erasers_.push_back(place);
  }
  std::sort(puts_.begin(), puts_.end());
  std::sort(requests.begin(), requests.end());
  classes_.resize(all.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const bool same = i > 0 && requests[i].first == requests[i - 1].first;
    classes_[requests[i].second] =
        same ? classes_[requests[i - 1].second] : static_cast<uint32_t>(i);
  }
}

void GapMakers::index_silences() {
  for (const Watch& watch : history_.watches()) {
    Silence silence{.range = keys_.range(watch.key, watch.end),
                    .from = watch.from,
                    .until = 0,
                    .no_put = watch.no_put,
                    .no_delete = watch.no_delete};
    for (const uint32_t each : watch.replies) {
      const WatchReply& reply = history_.watch_replies()[each];
      const int64_t before = silence.until;
      if (reply.kind == WatchReplyKind::created && silence.from == 0) {
        silence.from = std::min(reply.revision, kRevisionMax) + 1;
      } else if (reply.kind == WatchReplyKind::progress) {
        silence.until = std::max(silence.until, reply.revision);
      }
      for (const Change& change : history_.changes(reply)) {
        silence.until = std::max(silence.until, change.item.mod);
      }
      if (silence.until > before) silence.last_reply = each;
    }
    if (silence.from > 0 && silence.until >= silence.from) silences_.push_back(silence);
  }
}

void GapMakers::index_leases() {
  constexpr int64_t kTtlMax = 9'000'000'000;  // seconds; etcd's own limit
  for (const Operation& operation : history_.operations()) {
    if (operation.outcome == Outcome::failed) continue;
    const bool answered = operation.outcome == Outcome::ok;
    for (const Step& step : history_.taken(operation)) {
      if (step.lease == 0) continue;
      if (step.verb == Verb::grant) ++leases_[step.lease].grants;
      if (!answered) continue;
      if (step.verb == Verb::put) {
        LeaseSigns& signs = leases_[step.lease];
        signs.last_put = std::max(signs.last_put, operation.revision);
      }
      if (step.verb != Verb::grant && (step.verb != Verb::keep_alive || step.ttl_answered <= 0)) {
        continue;
      }
      LeaseSigns& signs = leases_[step.lease];
      signs.alive_at = operation.invoked;
      const int64_t ttl = step.ttl_answered == kNotRecorded ? step.ttl : step.ttl_answered;
      const int64_t start = operation.invoked_at.time_since_epoch().count() / kSecond;
      signs.holds_until = std::max(signs.holds_until, start + std::clamp<int64_t>(ttl, 0, kTtlMax));
    }
  }
}

bool GapMakers::denied_by_lease(int64_t lease, int64_t revision, const Gap& gap) const {
  const auto found = leases_.find(lease);
  if (found == leases_.end() || found->second.grants != 1) return false;
  const LeaseSigns& signs = found->second;
  if (signs.last_put > revision || signs.alive_at > gap.known.place) return true;
  return !history_.timeless() &&
         gap.known.at.time_since_epoch().count() / kSecond < signs.holds_until;
}

bool GapMakers::make(const Maker& maker, int64_t revision) {
  ++steps_;
  if (maker.operation != kNobody) {
    const Operation& operation = history_.operations()[maker.operation];
    return !applier_.apply(operation, revision, Changing::allowed).mismatch;
  }
  for (const Rank rank : store_.keys_of(maker.lease)) store_.erase(rank, revision);
  return true;
}

std::vector<uint32_t> GapMakers::worth_trying(const Gap& gap) const {
  std::vector<uint32_t> places;
  const auto put = std::find_if(gap.seen.begin(), gap.seen.end(),
                                [](const Glimpse& each) { return !each.erased; });
  if (gap.expired != 0) return places;
  if (gap.made_by != kNobody) {
    places.push_back(static_cast<uint32_t>(unknown_index(gap.made_by)));
  } else if (put != gap.seen.end()) {
    auto each = std::lower_bound(puts_.begin(), puts_.end(), std::pair(put->rank, uint32_t{0}));
    for (; each != puts_.end() && each->first == put->rank; ++each) {
      places.push_back(each->second);
    }
  } else if (!gap.seen.empty()) {
    places = erasers_;
  } else {
    places.resize(used_.size());
    for (uint32_t i = 0; i < places.size(); ++i) places[i] = i;
  }
  std::reverse(places.begin(), places.end());
  return places;
}

GapMakers::Candidates GapMakers::candidates(int64_t revision) {
  const Gap& gap = revisions_.gaps().at(revision);
  Candidates result;
  const auto consider = [&](const Maker& maker) {
    bool denied = false;
    if (!fits(maker, revision, gap, denied)) return;
    (denied ? result.denied : result.good).push_back(maker);
    add_footprint(maker, result.footprint);
  };
  for (const uint32_t reader : revisions_.readers(revision)) {
    if (revisions_.role(reader) == Role::maybe_writer) consider({.operation = reader});
  }
  std::set<uint32_t> tried;
  const std::span<const uint32_t> all = revisions_.unknown_writes();
  for (const uint32_t place : worth_trying(gap)) {
    if (used_[place] || history_.operations()[all[place]].invoked > gap.known.place) continue;
    if (!tried.insert(classes_[place]).second || rested(all[place], revision)) continue;
    consider({.operation = all[place]});
  }
  const bool only_puts_fit = !gap.seen.empty() && !gap.seen.front().erased;
  if (gap.made_by == kNobody && !only_puts_fit) {
    for (const int64_t lease : store_.leases_in_use()) {
      if (gap.expired == 0 || gap.expired == lease) consider({.lease = lease});
    }
  }
  return result;
}

void GapMakers::add_footprint(const Maker& maker, Footprint& footprint) const {
  footprint.keys.insert(changed_.begin(), changed_.end());
  footprint.leases = footprint.leases || maker.lease != 0;
  if (maker.operation == kNobody) return;
  const Operation& operation = history_.operations()[maker.operation];
  for (const Span branch : {operation.then, operation.otherwise}) {
    for (const Step& step : history_.steps(branch)) {
      if (step.verb == Verb::put) footprint.keys.insert(keys_.rank(step.key));
      if (step.verb == Verb::erase) footprint.erased.push_back(keys_.range(step.key, step.end));
      footprint.leases = footprint.leases || step.verb == Verb::revoke;
    }
  }
}

bool GapMakers::may_change(const Maker& maker, Rank rank) const {
  if (maker.operation == kNobody) return true;
  const Operation& operation = history_.operations()[maker.operation];
  for (const Span branch : {operation.then, operation.otherwise}) {
    for (const Step& step : history_.steps(branch)) {
      if (step.verb == Verb::put && keys_.rank(step.key) == rank) return true;
      if (step.verb == Verb::erase && keys_.range(step.key, step.end).holds(rank)) return true;
      if (step.verb == Verb::revoke) return true;
    }
  }
  return false;
}

// Cheaper than trying it out: a plain put of a key that was seen not to change here.
bool GapMakers::rested(uint32_t number, int64_t revision) const {
  const Operation& operation = history_.operations()[number];
  if (operation.transaction) return false;
  const Step& step = history_.steps(operation.then)[0];
  return step.verb == Verb::put && revisions_.rest(keys_.rank(step.key), revision) != nullptr;
}

bool GapMakers::fits(const Maker& maker, int64_t revision, const Gap& gap, bool& denied) {
  const bool possible = make(maker, revision);
  changed_ = store_.changed_behind(revision - 1);
  const bool rested = std::any_of(changed_.begin(), changed_.end(), [&](Rank rank) {
    return revisions_.rest(rank, revision) != nullptr;
  });
  const bool result = possible && !changed_.empty() && !rested && agrees_with(gap, revision);
  denied = result && (denied_by_watch(revision, gap) ||
                      (maker.lease != 0 && denied_by_lease(maker.lease, revision, gap)));
  store_.undo_behind(revision - 1);
  return result;
}

bool GapMakers::agrees_with(const Gap& gap, int64_t revision) const {
  return std::all_of(gap.seen.begin(), gap.seen.end(),
                     [&](const Glimpse& glimpse) { return shows(glimpse, store_, revision); });
}

bool GapMakers::denied_by_watch(int64_t revision, const Gap& gap) const {
  return std::any_of(changed_.begin(), changed_.end(), [&](Rank rank) {
    for (const Glimpse& glimpse : gap.seen) {
      if (glimpse.rank == rank) return false;
    }
    return silence_about(rank, revision) != nullptr;
  });
}

const GapMakers::Silence* GapMakers::silence_about(Rank rank, int64_t revision) const {
  const bool erased = store_.now(rank) == nullptr;
  const auto found = std::find_if(silences_.begin(), silences_.end(), [&](const Silence& silence) {
    return silence.range.holds(rank) && revision >= silence.from && revision <= silence.until &&
           !(erased ? silence.no_delete : silence.no_put);
  });
  return found == silences_.end() ? nullptr : &*found;
}

uint32_t GapMakers::denied_by(Rank rank, int64_t revision) const {
  for (const Glimpse& glimpse : revisions_.watched(revision)) {
    if (glimpse.rank == rank) return kNobody;
  }
  const Silence* silence = silence_about(rank, revision);
  return silence == nullptr ? kNobody : silence->last_reply;
}

}  // namespace quorate::check
