#include "check/revision_check.h"

#include <algorithm>
#include <string>
#include <utility>

#include "check/agreement_check.h"
#include "check/describe.h"
#include "check/failure_words.h"
#include "check/lease_check.h"
#include "check/replay.h"
#include "check/revisions.h"
#include "check/watch_check.h"

namespace quorate::check {
namespace {

void count_operations(const History& history, Verdict& verdict) {
  verdict.operations = history.operations().size();
  for (const Operation& operation : history.operations()) {
    verdict.unknown += operation.outcome == Outcome::unknown ? 1 : 0;
    verdict.failed += operation.outcome == Outcome::failed ? 1 : 0;
  }
  verdict.watches = history.watches().size();
}

// Fewest operations first; of equal ones, the earliest.
void sort_findings(std::vector<Finding>& findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& left, const Finding& right) {
    const size_t left_size = left.operations.size() + left.watch_replies.size();
    const size_t right_size = right.operations.size() + right.watch_replies.size();
    return left_size < right_size;
  });
}

void replay_all(const History& history, const KeyTable& keys, const Revisions& revisions,
                const CheckLimits& limits, Verdict& verdict) {
  Replay replay(history, keys, revisions, limits);
  const Decision decision = replay.run();
  verdict.steps += replay.steps();
  const FailureWords words(history, keys, revisions, replay);
  for (size_t i = 0; i < replay.failures().size(); ++i) {
    Finding finding = words.describe(replay.failures()[i]);
    if (replay.tried_all_ways() && i + 1 == replay.failures().size()) {
      finding.words +=
          " So it is in every way to place the writes of unknown outcome; this is "
          "the one that gets furthest.";
    }
    verdict.findings.push_back(std::move(finding));
  }
  if (decision == Decision::undecided) {
    verdict.linearizable = Decision::undecided;
    verdict.why_undecided = "placing the writes of unknown outcome reached its bound after " +
                            counted(replay.steps(), "step");
  }
  check_watches(history, keys, revisions, replay, verdict.findings);
  check_leases(history, revisions, replay, verdict.findings);
}

}  // namespace

std::string unfit_for_revisions(const History& history) {
  for (const Operation& operation : history.operations()) {
    for (const Span branch : {operation.then, operation.otherwise}) {
      for (const Step& step : history.steps(branch)) {
        if (step.verb == Verb::append) {
          return "model etcd has no append: " + show_operation(history, operation);
        }
      }
    }
  }
  return {};
}

Verdict check_by_revision(const History& history, const CheckLimits& limits) {
  Verdict verdict;
  verdict.model = "etcd";
  count_operations(history, verdict);
  verdict.why_undecided = unfit_for_revisions(history);
  if (!verdict.why_undecided.empty()) return verdict;
  const KeyTable keys(history);
  verdict.keys = keys.size();
  const Revisions revisions(history, keys, verdict.findings);
  verdict.skipped = revisions.without_revision();
  verdict.linearizable = Decision::yes;
  if (revisions.without_revision() != 0) {
    verdict.linearizable = Decision::undecided;
    verdict.why_undecided = counted(revisions.without_revision(), "answer") +
                            " came without a revision, so their place is not known";
  }
  check_hashes(history, verdict.findings);
  check_queues(history, verdict.findings);
  if (revisions.laid_out()) replay_all(history, keys, revisions, limits, verdict);
  if (!verdict.findings.empty()) verdict.linearizable = Decision::no;
  sort_findings(verdict.findings);
  if (verdict.findings.size() > limits.findings_max) {
    verdict.findings_left_out = verdict.findings.size() - limits.findings_max;
    verdict.findings.resize(limits.findings_max);
  }
  return verdict;
}

}  // namespace quorate::check
