#include "check/failure_words.h"

#include <algorithm>
#include <string>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

std::string_view rule_of(const Mismatch& mismatch) {
  const auto mod = [](const std::optional<Item>& item) {
    return item && item->mod != kNotRecorded ? item->mod : 0;
  };
  switch (mismatch.difference) {
    case Difference::row:
      if (mod(mismatch.shown) != 0 && mod(mismatch.shown) < mod(mismatch.correct)) {
        return "stale read";
      }
      if (mod(mismatch.shown) > mod(mismatch.correct)) return "value from nowhere";
      return "wrong row";
    case Difference::missing:
      return "lost write";
    case Difference::extra:
      return "value from nowhere";
    case Difference::count:
      return "wrong count";
    case Difference::condition:
    case Difference::nothing_kept:
      return "wrong branch";
    case Difference::changed:
      return "two writes at one revision";
    case Difference::future:
      return "revision from the future";
  }
  return {};
}

}  // namespace

Finding FailureWords::describe(const Failure& failure) const {
  Finding finding;
  if (failure.operation != kNobody) {
    describe_answer(failure, finding);
  } else if (failure.watch_reply != kNobody) {
    finding.rule = "event that fits no order";
    finding.words = std::string(failure.silent ? "What a watch did not show until "
                                               : "What a watch showed at ") +
                    show_time(history_, history_.watch_replies()[failure.watch_reply].at) +
                    " of revision " + std::to_string(failure.revision) + " and key " +
                    show_text(history_, keys_.key(failure.rank)) +
                    (failure.silent ? " must have happened." : " cannot be.");
    finding.watch_replies.push_back(failure.watch_reply);
  } else {
    describe_gap(failure, finding);
  }
  std::sort(finding.operations.begin(), finding.operations.end());
  return finding;
}

void FailureWords::add(Finding& finding, uint32_t number) const {
  std::vector<uint32_t>& all = finding.operations;
  if (std::find(all.begin(), all.end(), number) == all.end()) all.push_back(number);
}

void FailureWords::name_maker(int64_t revision, Finding& finding) const {
  if (revision == kNotRecorded || revision <= revisions_.first() || revision > revisions_.last()) {
    return;
  }
  const uint32_t writer = revisions_.writer(revision);
  const uint32_t number = writer != kNobody ? writer : replay_.maker(revision).operation;
  if (number == kNobody ||
      std::count(finding.operations.begin(), finding.operations.end(), number) != 0) {
    return;
  }
  add(finding, number);
  finding.words += " Revision " + std::to_string(revision) + " was made by " +
                   show_operation(history_, history_.operations()[number]) + ".";
}

void FailureWords::describe_answer(const Failure& failure, Finding& finding) const {
  const Mismatch& mismatch = failure.mismatch;
  finding.rule = rule_of(mismatch);
  finding.words = show_operation(history_, history_.operations()[failure.operation]) +
                  " cannot be. " + explain(history_, mismatch);
  add(finding, failure.operation);
  finding.wrong = failure.operation;
  if (mismatch.correct) name_maker(mismatch.correct->mod, finding);
  if (mismatch.shown) name_maker(mismatch.shown->mod, finding);
  if (mismatch.difference == Difference::extra) name_deletion(failure, finding);
  if (mismatch.difference == Difference::changed) name_maker(failure.revision, finding);
  if (finding.rule == "wrong row" && mismatch.shown->value != mismatch.correct->value &&
      mismatch.shown->value != kNoText) {
    finding.rule = written_by_anybody(*mismatch.shown) ? "wrong value" : "value from nowhere";
    return;
  }
  if (finding.rule == "value from nowhere" && mismatch.shown) {
    const Glimpse glimpse{.rank = failure.rank, .item = *mismatch.shown};
    name_suspects(mismatch.shown->mod, glimpse, finding);
  }
}

bool FailureWords::written_by_anybody(const Item& item) const {
  const std::span<const Operation> operations = history_.operations();
  const Glimpse glimpse{.rank = keys_.rank(item.key), .item = item};
  return std::any_of(operations.begin(), operations.end(),
                     [&](const Operation& operation) { return writes(operation, glimpse); });
}

// The last deletion before the key was shown nevertheless.
void FailureWords::name_deletion(const Failure& failure, Finding& finding) const {
  if (failure.rank == kNoRank) return;
  const std::vector<Version>& versions = replay_.store().versions(failure.rank);
  for (auto each = versions.rbegin(); each != versions.rend(); ++each) {
    if (each->mod > failure.mismatch.revision) continue;
    if (each->erased()) name_maker(each->mod, finding);
    return;
  }
}

void FailureWords::describe_gap(const Failure& failure, Finding& finding) const {
  const Gap& gap = revisions_.gaps().at(failure.revision);
  finding.rule = "write from nowhere";
  finding.words = "Revision " + std::to_string(failure.revision) +
                  " exists, but nothing recorded can have made it.";
  if (gap.known.operation != kNobody) {
    add(finding, gap.known.operation);
    finding.words += " The first to know of it: " +
                     show_operation(history_, history_.operations()[gap.known.operation]) + ".";
  }
  if (gap.seen.empty()) return;
  const Glimpse& glimpse = gap.seen.front();
  finding.words += glimpse.erased ? " It deleted " + show_text(history_, glimpse.item.key) + "."
                                  : " It wrote " + show_item(history_, glimpse.item) + ".";
  name_suspects(failure.revision, glimpse, finding);
}

bool FailureWords::writes(const Operation& operation, const Glimpse& glimpse) const {
  for (const Span branch : {operation.then, operation.otherwise}) {
    for (const Step& step : history_.steps(branch)) {
      if (glimpse.erased) {
        if (step.verb == Verb::erase && keys_.range(step.key, step.end).holds(glimpse.rank)) {
          return true;
        }
      } else if (step.verb == Verb::put && step.key == glimpse.item.key &&
                 (glimpse.item.value == kNoText || step.value == glimpse.item.value)) {
        return true;
      }
    }
  }
  return false;
}

bool FailureWords::suspect(uint32_t number, int64_t revision, const Glimpse& glimpse,
                           Finding& finding) const {
  const Operation& operation = history_.operations()[number];
  const std::string shown = show_operation(history_, operation);
  if (operation.outcome == Outcome::failed) {
    finding.rule = "effect of a failed write";
    finding.words += " It is what " + shown + " would have done, and its process was told that " +
                     "it surely was not applied.";
    return true;
  }
  if (operation.outcome == Outcome::ok) {
    if (operation.revision == revision || glimpse.item.value == kNoText) return false;
    finding.rule = "write applied twice or elsewhere";
    finding.words += " It is what " + shown + " did, but at another revision.";
    return true;
  }
  const auto gap = revisions_.gaps().find(revision);
  if (gap != revisions_.gaps().end() && operation.invoked > gap->second.known.place) {
    finding.rule = "value from the future";
    finding.words += " It is what " + shown + " wanted, but that began only later.";
    return true;
  }
  if (const Rest* rest = revisions_.rest(glimpse.rank, revision); rest != nullptr) {
    finding.words += " It may have been " + shown + ", but " +
                     show_operation(history_, history_.operations()[rest->seen_by]);
    finding.words += rest->absent ? " shows that the key did not exist after revision "
                                  : " shows the key as it was at revision ";
    finding.words += std::to_string(rest->from) + (rest->absent ? ", up to " : ", still so at ") +
                     std::to_string(rest->until) + ".";
    add(finding, rest->seen_by);
    return true;
  }
  if (!replay_.gap_makers().used(number) || glimpse.item.value == kNoText) return false;
  finding.rule = "write applied twice or elsewhere";
  finding.words += " It is what " + shown + " wanted, but that has made another revision.";
  return true;
}

void FailureWords::name_suspects(int64_t revision, const Glimpse& glimpse, Finding& finding) const {
  const std::span<const Operation> operations = history_.operations();
  for (const Outcome outcome : {Outcome::failed, Outcome::unknown, Outcome::ok}) {
    for (uint32_t i = 0; i < operations.size(); ++i) {
      if (operations[i].outcome != outcome || !writes(operations[i], glimpse)) continue;
      if (!suspect(i, revision, glimpse, finding)) continue;
      add(finding, i);
      return;
    }
  }
}

}  // namespace quorate::check
