#include "check/check.h"

#include <algorithm>
#include <string>
#include <utility>

#include "check/agreement_check.h"
#include "check/key_check.h"
#include "check/key_model.h"
#include "check/revision_check.h"

namespace quorate::check {
namespace {

bool needs_revisions(const History& history) {
  if (!history.watches().empty()) return true;
  const std::span<const Operation> operations = history.operations();
  return std::any_of(operations.begin(), operations.end(), [&](const Operation& operation) {
    TextId key = 0;
    return operation.revision != kNotRecorded || key_of(history, operation, key).has_value();
  });
}

}  // namespace

std::optional<Judge> judge_named(std::string_view name) {
  if (name == "auto") return Judge::automatic;
  if (name == "register") return Judge::registers;
  if (name == "kv") return Judge::key_value;
  if (name == "etcd") return Judge::etcd;
  return std::nullopt;
}

Verdict check_history(const History& history, Judge judge, const CheckLimits& limits) {
  if (judge == Judge::automatic) {
    judge = needs_revisions(history) && unfit_for_revisions(history).empty() ? Judge::etcd
                                                                             : Judge::key_value;
  }
  if (judge != Judge::etcd) {
    Verdict verdict = check_by_key(history, limits);
    if (judge == Judge::registers) verdict.model = "register";
    // Samples of members are comparable whatever clients asked for.
    const size_t before = verdict.findings.size();
    check_hashes(history, verdict.findings);
    check_queues(history, verdict.findings);
    if (verdict.findings.size() != before) verdict.linearizable = Decision::no;
    return verdict;
  }
  Verdict verdict = check_by_revision(history, limits);
  if (verdict.linearizable != Decision::undecided) return verdict;
  // What revisions left open, values may still refute.
  Verdict by_key = check_by_key(history, limits);
  return by_key.linearizable == Decision::no ? std::move(by_key) : std::move(verdict);
}

}  // namespace quorate::check
