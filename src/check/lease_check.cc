#include "check/lease_check.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kTtlMax = 9'000'000'000;  // seconds; etcd's own limit, so that sums fit

// Something that shows that a lease is gone.
struct End {
  Place place = kOpen;
  Place asked = kOpen;  // when it was asked for, if the answer may mean that it never was there
  int64_t at = 0;
  uint32_t operation = kNobody;  // that showed it, if one did
  std::string words = {};
};

struct Life {
  uint32_t grants = 0;             // that may have been applied
  Place granted = kOpen;           // the grant's return
  std::vector<uint32_t> renewals;  // grants and renewals that were acknowledged
  std::vector<uint32_t> revokes;   // that may have been applied
  std::vector<uint32_t> questions;
  std::vector<uint32_t> puts;     // acknowledged, with this lease
  std::vector<uint32_t> lookers;  // linearizable reads that show a key hanging on it
  std::vector<End> ends;
};

int64_t nanoseconds(Time at) { return at.time_since_epoch().count(); }

class LeaseCheck {
 public:
  LeaseCheck(const History& history, const Revisions& revisions, const Replay& replay,
             std::vector<Finding>& findings)
      : history_(history), revisions_(revisions), replay_(replay), findings_(findings) {}

  void run() {
    const std::span<const Operation> operations = history_.operations();
    for (uint32_t i = 0; i < operations.size(); ++i) {
      if (operations[i].outcome != Outcome::failed) take(i, operations[i]);
    }
    if (lives_.empty()) return;
    take_expiries();
    for (auto& [lease, life] : lives_) {
      // An id that is used again has several lives, which records do not keep apart.
      if (lease == 0 || life.grants != 1) continue;
      // "Not there" may also mean: not yet.
      std::erase_if(life.ends, [&life](const End& end) { return end.asked < life.granted; });
      std::sort(life.ends.begin(), life.ends.end(),
                [](const End& left, const End& right) { return left.place < right.place; });
      judge(lease, life);
    }
  }

 private:
  const Operation& operation(uint32_t number) const { return history_.operations()[number]; }
  int64_t time_to_live(const Step& step) const {
    const int64_t seconds = step.ttl_answered == kNotRecorded ? step.ttl : step.ttl_answered;
    return std::clamp<int64_t>(seconds, 0, kTtlMax);
  }

  void take(uint32_t number, const Operation& call) {
    const bool answered = call.outcome == Outcome::ok;
    for (const Step& step : history_.taken(call)) {
      if (step.verb == Verb::grant) {
        Life& life = lives_[step.lease];
        ++life.grants;
        life.granted = call.returned;
        if (answered) life.renewals.push_back(number);
      } else if (step.verb == Verb::revoke) {
        lives_[step.lease].revokes.push_back(number);
        if (answered) add_end(step.lease, number, "was revoked", true);
      } else if (answered && step.verb == Verb::keep_alive && step.ttl_answered != kNotRecorded) {
        if (step.ttl_answered > 0) {
          lives_[step.lease].renewals.push_back(number);
        } else {
          add_end(step.lease, number, "was said to be gone", false);
        }
      } else if (answered && step.verb == Verb::time_to_live) {
        if (step.ttl_answered == -1) add_end(step.lease, number, "was said to be gone", false);
        if (step.ttl_answered >= 0) lives_[step.lease].questions.push_back(number);
      } else if (answered && step.verb == Verb::put && step.lease != 0) {
        lives_[step.lease].puts.push_back(number);
      } else if (answered && step.verb == Verb::get && !step.serializable && step.revision == 0) {
        for (const Item& item : history_.items(step)) {
          if (item.lease != 0 && item.lease != kNotRecorded) {
            lives_[item.lease].lookers.push_back(number);
          }
        }
      }
    }
  }

  void add_end(int64_t lease, uint32_t number, const char* words, bool was_there) {
    const Operation& call = operation(number);
    End end{.place = call.returned, .at = nanoseconds(call.returned_at), .operation = number};
    if (!was_there) end.asked = call.invoked;
    end.words = std::string(words) + " by " + show_operation(history_, call);
    lives_[lease].ends.push_back(std::move(end));
  }

  void take_expiries() {
    for (const ExpiryNote& note : history_.expiries()) {
      lives_[note.lease].ends.push_back({.place = note.place,
                                         .asked = kOpen,
                                         .at = nanoseconds(note.at),
                                         .operation = kNobody,
                                         .words = "ran out at " + show_time(history_, note.at)});
    }
    for (const auto& [revision, gap] : revisions_.gaps()) {
      if (revision > replay_.settled()) continue;
      const Maker& maker = replay_.maker(revision);
      if (maker.lease == 0 || !maker.known()) continue;
      End end{.place = gap.known.place,
              .at = nanoseconds(gap.known.at),
              .operation = gap.known.operation};
      end.words = "had lost its keys at revision " + std::to_string(revision) +
                  ", which was known at " + show_time(history_, gap.known.at);
      lives_[maker.lease].ends.push_back(std::move(end));
    }
  }

  void judge(int64_t lease, const Life& life) {
    if (!history_.timeless()) {
      for (const End& end : life.ends) {
        if (judge_end(lease, life, end)) break;
      }
      for (const uint32_t question : life.questions) judge_question(life, question);
    }
    if (life.ends.empty()) return;
    const End& end = life.ends.front();
    const std::string name = "Lease " + std::to_string(lease) + " " + end.words + ". ";
    for (const uint32_t put : life.puts) {
      if (end.place >= operation(put).invoked) continue;
      find("key on a lease that is gone",
           name + "Later, " + show_operation(history_, operation(put)) + " was accepted.", end,
           put);
      break;
    }
    for (const uint32_t looker : life.lookers) {
      if (end.place >= operation(looker).invoked) continue;
      find("key outlived its lease",
           name + "Later, " + show_operation(history_, operation(looker)) +
               " still shows a key that hangs on it.",
           end, looker);
      break;
    }
    for (const uint32_t renewal : life.renewals) {
      if (end.place >= operation(renewal).invoked) continue;
      find("renewal of a lease that is gone",
           name + "Later, " + show_operation(history_, operation(renewal)) + " was acknowledged.",
           end, renewal);
      break;
    }
  }

  // A revoke that may have been applied by then explains any end.
  bool judge_end(int64_t lease, const Life& life, const End& end) {
    for (const uint32_t revoke : life.revokes) {
      if (operation(revoke).invoked < end.place) return false;
    }
    for (const uint32_t renewal : life.renewals) {
      const Operation& call = operation(renewal);
      const int64_t ttl = time_to_live(history_.taken(call)[0]);
      // Compared in seconds first: the difference cannot overflow then.
      const int64_t lived = end.at - std::min(end.at, nanoseconds(call.invoked_at));
      if (lived / kSecond >= ttl) continue;
      find("lease ended too early",
           "Lease " + std::to_string(lease) + " " + end.words + ". But " +
               show_operation(history_, call) + " holds it for " + std::to_string(ttl) +
               " s from its start.",
           end, renewal);
      return true;
    }
    return false;
  }

  void judge_question(const Life& life, uint32_t number) {
    const Operation& question = operation(number);
    const int64_t left = history_.taken(question)[0].ttl_answered;
    int64_t granted_max = 0;
    for (const uint32_t renewal : life.renewals) {
      const Operation& call = operation(renewal);
      const int64_t ttl = time_to_live(history_.taken(call)[0]);
      granted_max = std::max(granted_max, ttl);
      if (!call.precedes(question)) continue;
      const int64_t passed = nanoseconds(question.returned_at) - nanoseconds(call.invoked_at);
      if (left >= ttl - passed / kSecond - 1) continue;
      return find(
          "lease runs too fast",
          show_operation(history_, question) + " is less than " + show_operation(history_, call) +
              " leaves.",
          {.place = call.returned, .asked = kOpen, .at = 0, .operation = renewal, .words = {}},
          number);
    }
    if (granted_max == 0 || left <= granted_max) return;
    find("lease lives longer than granted",
         show_operation(history_, question) + ", but the lease was granted for " +
             std::to_string(granted_max) + " s.",
         {}, number);
  }

  void find(const char* rule, std::string words, const End& end, uint32_t number) {
    Finding finding{.rule = rule, .words = std::move(words), .operations = {number}};
    if (end.operation != kNobody && end.operation != number) {
      finding.operations.push_back(end.operation);
    }
    std::sort(finding.operations.begin(), finding.operations.end());
    findings_.push_back(std::move(finding));
  }

  const History& history_;
  const Revisions& revisions_;
  const Replay& replay_;
  std::vector<Finding>& findings_;
  std::map<int64_t, Life> lives_;
};

}  // namespace

void check_leases(const History& history, const Revisions& revisions, const Replay& replay,
                  std::vector<Finding>& findings) {
  LeaseCheck(history, revisions, replay, findings).run();
}

}  // namespace quorate::check
