// status, member list.
#include <iostream>

#include "app/commands.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/json.h"
#include "app/output.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app {
namespace {

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& each : list) text += (text.empty() ? "" : ",") + each;
  return text;
}

std::string role(const MemberStatus& status) {
  if (status.learner) return "learner";
  if (status.leader == 0) return "no leader";
  return status.leader == status.member_id ? "leader" : "follower";
}

}  // namespace

int run_status(const Common& common) {
  Session session(common);
  std::vector<EndpointStatus> list;
  int code = kExitOk;
  for (const std::string& endpoint : session.endpoints()) {
    const Response response = session.ask(endpoint, kPathStatus, "");
    EndpointStatus each{endpoint, {}, {}};
    if (auto status = decode_status(response.body); response.verdict == Verdict::done && status) {
      each.status = std::move(*status);
    } else {
      each.problem = response.text.empty() ? "an answer that is not etcd's" : response.text;
      code = kExitUnavailable;
    }
    list.push_back(std::move(each));
  }
  if (common.json) {
    std::cout << status_json(list) << '\n';
    return code;
  }
  Table table({"ENDPOINT", "ID", "ROLE", "TERM", "INDEX", "APPLIED", "REVISION", "STORE", "VERSION",
               "CONSENSUS"});
  for (const EndpointStatus& each : list) {
    const MemberStatus& status = each.status;
    if (!each.problem.empty()) {
      complain(each.problem);
      table.add({each.endpoint, "-", "unreachable", "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    table.add({each.endpoint, hex(status.member_id), role(status), std::to_string(status.term),
               std::to_string(status.index), std::to_string(status.applied),
               std::to_string(status.revision), std::to_string(status.store_bytes / 1024) + " KiB",
               status.version, status.protocol.empty() ? "-" : status.protocol});
  }
  std::cout << table.text();
  return code;
}

int run_member_list(const Common& common) {
  if (!etcdctl::check_format(common, etcdctl::Extra::both)) return kExitUsage;
  std::string request;
  protobuf::write_number(1, 1, request);  // linearizable
  const Response response = Session(common).read(kPathMemberList, request);
  if (response.verdict != Verdict::done) return report(response, false);
  if (!common.write_out.empty()) return etcdctl::show_members(common, response.body);
  const auto members = decode_member_list(response.body);
  if (!members) {
    complain("the server's answer cannot be decoded; is this an etcd v3 endpoint?");
    return kExitRefused;
  }
  print_members(common, *members);
  return kExitOk;
}

void print_members(const Common& common, const std::vector<MemberEntry>& members) {
  if (common.json) {
    std::cout << members_json(members) << '\n';
    return;
  }
  Table table({"ID", "NAME", "PEER URLS", "CLIENT URLS", "KIND"});
  for (const MemberEntry& member : members) {
    table.add({hex(member.id), member.name.empty() ? "(unstarted)" : printable(member.name),
               joined(member.peer_urls), joined(member.client_urls),
               member.learner ? "learner" : "voter"});
  }
  std::cout << table.text();
}

}  // namespace quorate::app
