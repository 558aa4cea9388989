// doctor: looks at a cluster, says in plain words what is wrong and what to do.
#include <iostream>

#include "app/doctor/facts.h"
#include "app/etcdctl/go_text.h"
#include "app/exit_codes.h"
#include "app/output.h"

namespace quorate::app::doctor {
namespace {

using etcdctl::json_text;

std::string level_name(Level level) {
  if (level == Level::problem) return "problem";
  return level == Level::note ? "note" : "well";
}

void print_text(const std::vector<Finding>& findings, bool healthy) {
  for (const Finding& finding : findings) {
    std::string level = level_name(finding.level);
    level.resize(9, ' ');
    std::cout << level << finding.about << ": " << finding.what << '\n';
    if (!finding.advice.empty()) std::cout << "         -> " << finding.advice << '\n';
  }
  std::cout << (healthy ? "Nothing is wrong.\n" : "Something is wrong; see above.\n");
}

void print_json(const Facts& facts, const std::vector<Finding>& findings, bool healthy) {
  std::string list;
  for (const Finding& finding : findings) {
    list += (list.empty() ? "" : ",") + ("{\"level\":" + json_text(level_name(finding.level))) +
            ",\"about\":" + json_text(finding.about) + ",\"what\":" + json_text(finding.what) +
            ",\"advice\":" + json_text(finding.advice) + "}";
  }
  std::string members;
  for (const MemberFacts& member : facts.members) {
    const double milliseconds = std::chrono::duration<double, std::milli>(member.latency).count();
    members +=
        (members.empty() ? "" : ",") + ("{\"id\":" + json_text(hex(member.id))) +
        ",\"name\":" + json_text(member.name) + ",\"endpoint\":" + json_text(member.endpoint) +
        ",\"answers\":" + (member.answered ? "true" : "false") +
        ",\"leader\":" + (member.answered && member.leader == member.id ? "true" : "false") +
        ",\"learner\":" + (member.learner ? "true" : "false") +
        ",\"term\":" + std::to_string(member.term) + ",\"index\":" + std::to_string(member.index) +
        ",\"applied\":" + std::to_string(member.applied) +
        ",\"revision\":" + std::to_string(member.revision) +
        ",\"store_bytes\":" + std::to_string(member.store_bytes) +
        ",\"latency_ms\":" + std::to_string(milliseconds) + "}";
  }
  std::cout << "{\"healthy\":" << (healthy ? "true" : "false") << ",\"findings\":[" << list
            << "],\"members\":[" << members << "]}\n";
}

}  // namespace

int run_doctor(const Common& common, const DoctorOptions& options) {
  show_progress("asking members ...");
  const Facts facts = examine(common, options.scope);
  end_progress();
  const std::vector<Finding> findings = findings_of(facts);
  bool healthy = true;
  for (const Finding& finding : findings) healthy = healthy && finding.level != Level::problem;
  if (common.json) {
    print_json(facts, findings, healthy);
  } else {
    print_text(findings, healthy);
  }
  return healthy ? kExitOk : kExitRefused;
}

}  // namespace quorate::app::doctor
