// Asks everybody everything that needs no rights and changes nothing.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <future>

#include "app/doctor/facts.h"
#include "app/doctor/page.h"
#include "app/etcdctl/message.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/urls.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::doctor {
namespace {

using etcdctl::Message;
using Clock = std::chrono::steady_clock;

// One silent member must not hold up the view of the others for long.
constexpr auto kPatience = std::chrono::seconds(3);
// A cluster has a handful; a list from a hostile server must not start a thread for each line.
constexpr size_t kMembersMax = 64;

void take_status(const Message& status, MemberFacts& member) {
  const Message* header = status.message("header");
  if (header != nullptr) {
    member.cluster = header->number("cluster_id");
    member.revision = header->integer("revision");
    if (member.id == 0) member.id = header->number("member_id");
  }
  member.version = status.text("version");
  member.leader = status.number("leader");
  member.term = status.number("raftTerm");
  member.index = status.number("raftIndex");
  member.applied = status.number("raftAppliedIndex");
  member.store_bytes = status.integer("dbSize");
  member.used_bytes = status.integer("dbSizeInUse");
  member.quota_bytes = status.integer("dbSizeQuota");
  member.errors = status.texts("errors");
  member.learner = member.learner || status.flag("isLearner");
}

Common hasty(const Common& common) {
  Common made = common;
  made.timeout = std::min<Duration>(common.timeout, kPatience);
  made.dial_timeout = std::min<Duration>(common.dial_timeout, kPatience);
  return made;
}

void ask_status(Session& session, MemberFacts& member) {
  const auto begun = Clock::now();
  const Response response = session.ask(member.endpoint, kPathStatus, "");
  member.latency = Clock::now() - begun;
  const bool done = response.verdict == Verdict::done;
  member.answered = done && read_status(response.body, member);
  if (member.answered) return;
  member.problem = done ? member.endpoint + " does not speak etcd's protocol" : response.text;
}

void ask_read(Session& session, MemberFacts& member) {
  machine::etcd::RangeRequest request;
  request.key = "health";
  std::string wire;
  machine::etcd::encode(request, wire);
  const auto begun = Clock::now();
  const Response response = session.ask(member.endpoint, kPathRange, wire);
  member.read_latency = Clock::now() - begun;
  // A refusal for lack of rights shows that the cluster could decide it.
  member.reads = response.verdict == Verdict::done || response.text.ends_with("permission denied");
  if (!member.reads) member.read_problem = response.text;
}

// The member's clock is in its metrics; ours when it was read lies between question and answer.
void ask_clock(MemberFacts& member) {
  using Wall = std::chrono::system_clock;
  const auto before = Wall::now();
  const auto page = get_page(member.endpoint, "/metrics", kPatience);
  const auto after = Wall::now();
  if (!page) return;
  const auto theirs = metric_value(*page, "quorate_clock_seconds");
  if (!theirs) return;
  const auto seconds = [](Wall::duration time) {
    return std::chrono::duration<double>(time).count();
  };
  member.clock_doubt = seconds(after - before) / 2;
  member.clock_offset = *theirs - seconds(before.time_since_epoch()) - member.clock_doubt;
}

void ask_hash(Session& session, int64_t revision, MemberFacts& member) {
  std::string request;
  protobuf::write_number(1, revision, request);
  const Response response = session.ask(member.endpoint, etcdctl::kPathHash, request);
  const auto hash = Message::decode(etcdctl::kHashShape, response.body);
  if (response.verdict == Verdict::done && hash) member.hash = hash->number("hash");
}

template <class Ask>
void for_all(const Common& common, std::vector<MemberFacts>& members, const Ask& ask) {
  std::vector<std::future<void>> under_way;
  for (MemberFacts& member : members) {
    if (member.endpoint.empty()) continue;
    under_way.push_back(std::async(std::launch::async, [&] {
      Session session(common);
      ask(session, member);
    }));
  }
  for (auto& each : under_way) each.get();
}

// Who belongs to the cluster, from one member's own state: works without a majority.
bool list_members(const Common& common, const std::string& endpoint,
                  std::vector<MemberFacts>& members, std::string& problem) {
  const Response response = Session(common).ask(endpoint, kPathMemberList, "");
  auto list = read_members(response.body);
  if (response.verdict != Verdict::done || !list) {
    problem = response.text;
    return false;
  }
  members = std::move(*list);
  return true;
}

std::vector<MemberFacts> asked_endpoints(const Common& common) {
  std::vector<MemberFacts> asked;
  for (const std::string& endpoint : common.endpoints) {
    if (asked.size() == kMembersMax) break;
    asked.emplace_back().endpoint = endpoint;
  }
  for_all(common, asked, ask_status);
  return asked;
}

// Each member is asked where it was reached already, else where it says that it serves. What was
// asked for and is nobody's is kept: whoever named it should hear of it.
void place_members(const std::vector<MemberFacts>& asked, std::vector<MemberFacts>& members) {
  std::vector<bool> placed(asked.size(), false);
  for (MemberFacts& member : members) {
    for (size_t at = 0; at < asked.size(); ++at) {
      const bool same = asked[at].answered && asked[at].id == member.id;
      bool published = false;
      for (const std::string& url : member.client_urls) {
        const auto address = endpoint_address(url);
        published = published || (address && *address == asked[at].endpoint);
      }
      if (!same && !(published && !asked[at].answered)) continue;
      placed[at] = true;
      if (member.endpoint.empty() || same) member.endpoint = asked[at].endpoint;
    }
    if (!member.endpoint.empty() || member.client_urls.empty()) continue;
    if (const auto address = endpoint_address(member.client_urls.front())) {
      member.endpoint = *address;
    }
  }
  for (size_t at = 0; at < asked.size(); ++at) {
    if (!placed[at]) members.push_back(asked[at]);
  }
}

void ask_alarms(const Common& common, Facts& facts) {
  Session session(common);
  facts.alarms_problem = "no member answers";
  for (const MemberFacts& member : facts.members) {
    if (!member.answered) continue;
    const Response response = session.ask(member.endpoint, etcdctl::kPathAlarm, "");
    const auto list = Message::decode(etcdctl::kAlarmShape, response.body);
    if (response.verdict != Verdict::done || !list) {
      facts.alarms_problem = response.text;
      continue;
    }
    facts.alarms_problem.clear();
    for (const Message& alarm : list->messages("alarms")) {
      facts.alarms.push_back(
          {alarm.number("memberID"), alarm.number("alarm") == 1 ? "NOSPACE" : "CORRUPT"});
    }
    return;
  }
}

void compare_hashes(const Common& common, Facts& facts) {
  for (const MemberFacts& member : facts.members) {
    if (!member.answered) continue;
    facts.hash_revision =
        facts.hash_revision == 0 ? member.revision : std::min(facts.hash_revision, member.revision);
  }
  if (facts.hash_revision == 0) return;
  Common patient = common;  // it reads every key
  patient.timeout = std::max<Duration>(common.timeout, std::chrono::minutes(1));
  for_all(patient, facts.members, [&](Session& session, MemberFacts& member) {
    if (member.answered) ask_hash(session, facts.hash_revision, member);
  });
}

}  // namespace

bool read_status(std::string_view wire, MemberFacts& member) {
  const auto status = Message::decode(etcdctl::kStatusShape, wire);
  if (status) take_status(*status, member);
  return status.has_value();
}

std::optional<std::vector<MemberFacts>> read_members(std::string_view wire) {
  const auto list = Message::decode(etcdctl::kMembersShape, wire);
  if (!list) return std::nullopt;
  std::vector<MemberFacts> members;
  for (const Message& each : list->messages("members")) {
    if (members.size() == kMembersMax) break;
    MemberFacts member;
    member.id = each.number("ID");
    member.name = each.text("name");
    member.learner = each.flag("isLearner");
    member.listed = true;
    member.peer_urls = each.texts("peerURLs");
    member.client_urls = each.texts("clientURLs");
    members.push_back(std::move(member));
  }
  return members;
}

Facts examine(const Common& given, const Scope& scope) {
  const Common common = hasty(given);
  Facts facts;
  const std::vector<MemberFacts> asked = asked_endpoints(common);
  facts.members_problem = "no endpoint answers";
  for (const MemberFacts& each : asked) {
    if (!each.answered) continue;
    if (list_members(common, each.endpoint, facts.members, facts.members_problem)) {
      facts.members_problem.clear();
      break;
    }
  }
  place_members(asked, facts.members);
  for_all(common, facts.members, [&](Session& session, MemberFacts& member) {
    ask_status(session, member);
    if (!member.answered) return;
    ask_read(session, member);
    ask_clock(member);
  });
  ask_alarms(common, facts);
  if (scope.hashes) compare_hashes(given, facts);
  for (const std::string& directory : scope.directories) {
    facts.disks.push_back(try_disk(directory));
  }
  for (const std::string& file : scope.certificates) {
    for (CertificateFacts& each : read_certificates(file)) {
      facts.certificates.push_back(std::move(each));
    }
  }
  return facts;
}

}  // namespace quorate::app::doctor
