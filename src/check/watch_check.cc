#include "check/watch_check.h"

#include <algorithm>
#include <string>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

// Every change of every key, by revision and key.
struct TrueChange {
  int64_t revision = 0;
  Rank rank = kNoRank;
  const Version* version = nullptr;
  const Version* previous = nullptr;  // nullptr: the key was absent
};

class TrueChanges {
 public:
  TrueChanges(const KeyTable& keys, const Revisions& revisions, const Replay& replay)
      : revisions_(revisions), replay_(replay) {
    for (Rank rank = 0; rank < keys.size(); ++rank) {
      const Version* previous = nullptr;
      for (const Version& version : replay.store().versions(rank)) {
        if (version.mod > revisions.first()) {
          changes_.push_back({version.mod, rank, &version, previous});
        }
        previous = version.erased() ? nullptr : &version;
      }
    }
    std::sort(changes_.begin(), changes_.end(), [](const auto& left, const auto& right) {
      return left.revision != right.revision ? left.revision < right.revision
                                             : left.rank < right.rank;
    });
  }

  // Whether the replay knows everything that happened at this revision.
  bool settled(int64_t revision) const {
    return revision > revisions_.first() && revision <= replay_.settled() &&
           replay_.maker(revision).known();
  }
  // The operation that made it, kNobody if none did or it is not known.
  uint32_t made_by(int64_t revision) const {
    return settled(revision) ? replay_.maker(revision).operation : kNobody;
  }
  // The changes of revisions from `first` up to and with `last`.
  std::span<const TrueChange> between(int64_t first, int64_t last) const {
    const auto low = std::partition_point(changes_.begin(), changes_.end(),
                                          [&](const auto& each) { return each.revision < first; });
    const auto high = std::partition_point(low, changes_.end(),
                                           [&](const auto& each) { return each.revision <= last; });
    return {low, high};
  }

 private:
  const Revisions& revisions_;
  const Replay& replay_;
  std::vector<TrueChange> changes_;
};

class WatchCheck {
 public:
  WatchCheck(const History& history, const KeyTable& keys, const TrueChanges& truth,
             const Watch& watch, std::vector<Finding>& findings)
      : history_(history),
        keys_(keys),
        truth_(truth),
        watch_(watch),
        findings_(findings),
        range_(keys.range(watch.key, watch.end)) {}

  // `last`: the newest revision of the history. `compacts`: old versions may have been forgotten.
  void run(int64_t last, bool compacts) {
    compacts_ = compacts;
    next_ = watch_.from;
    for (const uint32_t each : watch_.replies) {
      reply_ = each;
      const WatchReply& reply = history_.watch_replies()[each];
      switch (reply.kind) {
        case WatchReplyKind::created:
          created_ = true;
          if (next_ == 0 && reply.revision != kNotRecorded) {
            next_ = std::min(reply.revision, kRevisionMax) + 1;
          }
          break;
        case WatchReplyKind::delivered:
          deliver(reply);
          break;
        case WatchReplyKind::progress:
          progress(reply);
          break;
        case WatchReplyKind::ended:
          ended_ = true;
          break;
      }
    }
    const bool settled = history_.settled() != kOpen && watch_.opened < history_.settled();
    if (settled && created_ && !ended_ && next_ > 0) {
      miss_between(next_, last, "although it had the time to show everything");
    }
  }

 private:
  void deliver(const WatchReply& reply) {
    const std::span<const Change> changes = history_.changes(reply);
    if (!created_ && !changes.empty()) find("event before the watch was created", "", changes[0]);
    for (size_t first = 0; first < changes.size();) {
      size_t end = first;
      while (end < changes.size() && changes[end].item.mod == changes[first].item.mod) ++end;
      const bool goes_on = reply.fragment && end == changes.size();
      one_revision(reply, changes.subspan(first, end - first), goes_on);
      first = end;
    }
  }

  // What one answer shows of one revision. `goes_on`: the rest comes in the next answer.
  void one_revision(const WatchReply& reply, std::span<const Change> changes, bool goes_on) {
    const int64_t revision = changes[0].item.mod;
    if (revision == kNotRecorded) return;
    if (reply.revision != kNotRecorded && reply.revision < revision) {
      find("answer older than its events",
           " The answer's own revision is " + std::to_string(reply.revision) + ".", changes[0]);
    }
    const bool continues = in_parts_ && revision == last_;
    if (!continues && !comes_next(revision, changes[0])) return;
    if (!continues) {
      miss_between(next_, revision - 1, "before it showed revision " + std::to_string(revision));
      shown_.clear();
    }
    for (const Change& change : changes) one_change(change);
    last_ = revision;
    next_ = revision + 1;
    in_parts_ = goes_on;
    if (!goes_on && truth_.settled(revision)) {
      miss_between(revision, revision, "with the rest of that revision");
    }
  }

  bool comes_next(int64_t revision, const Change& change) {
    if (next_ == 0 || revision >= next_) return true;
    if (last_ == 0 && watch_.from > 0 && revision < watch_.from) {
      find("event from before the start", "", change);
    } else if (revision == last_) {
      const bool again =
          std::find(shown_.begin(), shown_.end(), keys_.rank(change.item.key)) != shown_.end();
      find(again ? "event shown twice" : "revision split over answers", "", change);
    } else if (revision <= bookmark_) {
      find("event behind a bookmark",
           " Progress up to revision " + std::to_string(bookmark_) + " had been promised.", change);
    } else {
      find("events out of order or shown twice",
           " Revision " + std::to_string(last_) + " had already been shown.", change);
    }
    return false;
  }

  void one_change(const Change& change) {
    const Rank rank = keys_.rank(change.item.key);
    if (!range_.holds(rank)) return find("event of a key that is not watched", "", change);
    if (change.erased ? watch_.no_delete : watch_.no_put) {
      return find("event that was filtered out", "", change);
    }
    if (std::find(shown_.begin(), shown_.end(), rank) != shown_.end()) {
      return find("event shown twice", "", change);
    }
    shown_.push_back(rank);
    const int64_t revision = change.item.mod;
    if (!truth_.settled(revision)) return;
    const std::span<const TrueChange> all = truth_.between(revision, revision);
    const auto found = std::find_if(all.begin(), all.end(),
                                    [rank](const TrueChange& each) { return each.rank == rank; });
    if (found == all.end()) return find("event that never happened", "", change);
    if (change.erased != found->version->erased() ||
        (!change.erased && !agrees(change.item, *found->version))) {
      return find("wrong event", " In truth it was " + show(*found) + ".", change);
    }
    previous_value(change, *found);
  }

  void previous_value(const Change& change, const TrueChange& truth) {
    if (!change.has_previous) {
      if (watch_.previous && truth.previous != nullptr && !compacts_) {
        find("previous value is missing", "", change);
      }
      return;
    }
    if (!watch_.previous) return find("previous value that nobody asked for", "", change);
    if (truth.previous == nullptr) {
      return find("wrong previous value", " The key was absent before.", change);
    }
    if (!agrees(change.previous, *truth.previous)) {
      find("wrong previous value",
           " It says that before was " + show_item(history_, change.previous) + ".", change);
    }
  }

  void progress(const WatchReply& reply) {
    const std::string revision = std::to_string(reply.revision);
    if (watch_.from > 0 && reply.revision < watch_.from) {
      find_reply("progress below the start", "Progress at revision " + revision +
                                                 " for a watch that starts at " +
                                                 std::to_string(watch_.from) + ".");
    }
    if (next_ > 0) miss_between(next_, reply.revision, "before it promised progress " + revision);
    bookmark_ = std::max(bookmark_, std::min(reply.revision, kRevisionMax));
    next_ = std::max(next_, bookmark_ + 1);
  }

  // Events that should have been shown between two revisions and were not.
  void miss_between(int64_t first, int64_t last, const std::string& when) {
    for (const TrueChange& each : truth_.between(first, last)) {
      if (!range_.holds(each.rank) || !truth_.settled(each.revision)) continue;
      if (each.version->erased() ? watch_.no_delete : watch_.no_put) continue;
      const bool same_revision = first == last && each.revision == last_;
      if (same_revision && std::find(shown_.begin(), shown_.end(), each.rank) != shown_.end()) {
        continue;
      }
      find_reply(same_revision ? "revision shown in part" : "missing event",
                 "It did not show " + show(each) + ", " + when + ".", each.revision);
      return;
    }
  }

  std::string show(const TrueChange& change) const {
    const std::string key = show_text(history_, keys_.key(change.rank));
    const std::string at = " at revision " + std::to_string(change.revision);
    if (change.version->erased()) return "the deletion of " + key + at;
    return "the write of " + key + " = " + show_text(history_, change.version->value) + at;
  }
  void find(const char* rule, const std::string& more, const Change& change) {
    find_reply(rule,
               std::string("It showed ") + (change.erased ? "the deletion of " : "the write of ") +
                   show_item(history_, change.item) + "." + more,
               change.item.mod);
  }
  void find_reply(const char* rule, const std::string& words, int64_t revision = kNotRecorded) {
    Finding finding{.rule = rule, .words = {}};
    finding.words =
        "Watch " + std::to_string(watch_.number) + " of process " + std::to_string(watch_.process);
    if (!watch_.replies.empty()) {
      finding.words += ", at " + show_time(history_, history_.watch_replies()[reply_].at);
      finding.watch_replies.push_back(reply_);
    }
    if (const uint32_t maker = truth_.made_by(revision); maker != kNobody) {
      finding.operations.push_back(maker);
    }
    finding.words += ": " + words;
    findings_.push_back(std::move(finding));
  }

  const History& history_;
  const KeyTable& keys_;
  const TrueChanges& truth_;
  const Watch& watch_;
  std::vector<Finding>& findings_;
  RankRange range_;
  int64_t next_ = 0;  // the first revision not yet passed; 0: not known
  int64_t last_ = 0;  // the last one shown
  int64_t bookmark_ = 0;
  std::vector<Rank> shown_;  // of last_
  uint32_t reply_ = 0;
  bool in_parts_ = false;  // last_ goes on in the next answer
  bool created_ = false;
  bool ended_ = false;
  bool compacts_ = false;
};

}  // namespace

void check_watches(const History& history, const KeyTable& keys, const Revisions& revisions,
                   const Replay& replay, std::vector<Finding>& findings) {
  if (history.watches().empty()) return;
  bool compacts = history.start_compacted() != 0;
  for (const Operation& operation : history.operations()) {
    const std::span<const Step> steps = history.steps(operation.then);
    compacts = compacts || (!steps.empty() && steps[0].verb == Verb::compact);
  }
  const TrueChanges truth(keys, revisions, replay);
  for (const Watch& watch : history.watches()) {
    WatchCheck(history, keys, truth, watch, findings).run(revisions.last(), compacts);
  }
}

}  // namespace quorate::check
