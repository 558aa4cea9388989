#include "check/agreement_check.h"

#include <map>
#include <string>

#include "check/describe.h"

namespace quorate::check {

void check_hashes(const History& history, std::vector<Finding>& findings) {
  std::map<int64_t, const HashNote*> first;
  for (const HashNote& note : history.hashes()) {
    const auto [known, fresh] = first.emplace(note.hash.revision, &note);
    if (fresh || known->second->hash.hash == note.hash.hash) continue;
    const StateHash& other = known->second->hash;
    findings.push_back({.rule = "states differ",
                        .words = "At revision " + std::to_string(note.hash.revision) +
                                 " the state of member " + std::to_string(note.hash.member) +
                                 " hashes to " + std::to_string(note.hash.hash) + " (at " +
                                 show_time(history, note.at) + "), that of member " +
                                 std::to_string(other.member) + " to " +
                                 std::to_string(other.hash) + " (at " +
                                 show_time(history, known->second->at) + ")."});
    return;  // one difference at the lowest sample; the rest follows from it
  }
}

void check_queues(const History& history, std::vector<Finding>& findings) {
  std::map<std::string, bool> told;
  for (const QueueNote& note : history.queues()) {
    const QueueSample& sample = note.sample;
    if (sample.size <= sample.limit || told[sample.name]) continue;
    told[sample.name] = true;
    findings.push_back(
        {.rule = "queue longer than its limit",
         .words = "Queue " + sample.name + " of member " + std::to_string(sample.member) +
                  " held " + std::to_string(sample.size) + " at " + show_time(history, note.at) +
                  "; its limit is " + std::to_string(sample.limit) + "."});
  }
}

}  // namespace quorate::check
