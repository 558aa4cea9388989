// member add, remove, update, promote, replace; move-leader.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <iostream>
#include <thread>

#include "app/commands.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/json.h"
#include "app/output.h"
#include "app/urls.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLookInterval = std::chrono::milliseconds(500);

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& each : list) text += (text.empty() ? "" : ",") + each;
  return text;
}

std::string named(const MemberEntry& member) {
  return hex(member.id) + (member.name.empty() ? "" : " (" + printable(member.name) + ")");
}

int undecodable() {
  complain("the server's answer cannot be decoded; is this a Quorate or etcd v3 endpoint?");
  return kExitRefused;
}

std::optional<std::vector<MemberEntry>> list_members(Session& session, int& code) {
  std::string request;
  protobuf::write_number(1, 1, request);  // linearizable
  const Response response = session.read(kPathMemberList, request);
  if (response.verdict != Verdict::done) {
    code = report(response, false);
    return std::nullopt;
  }
  auto members = decode_member_list(response.body);
  if (!members) code = undecodable();
  return members;
}

const MemberEntry* find(const std::vector<MemberEntry>& members, const std::string& text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  const bool is_id = error == std::errc() && end == text.data() + text.size();
  const MemberEntry* found = nullptr;
  for (const MemberEntry& member : members) {
    if (is_id && member.id == id) return &member;
    if (member.name == text) found = &member;
  }
  return found;
}

// The member that the command line names, or a complaint.
const MemberEntry* find_or_complain(const std::vector<MemberEntry>& members,
                                    const std::string& text) {
  if (const MemberEntry* found = find(members, text)) return found;
  std::string known;
  for (const MemberEntry& member : members) known += (known.empty() ? "" : ", ") + named(member);
  complain("the cluster has no member \"" + text + "\"; its members are " + known);
  return nullptr;
}

bool urls_are_fine(const std::vector<std::string>& urls) {
  const auto parsed = parse_urls("peer-urls", joined(urls));
  if (!parsed) complain(parsed.error().text);
  return parsed.has_value();
}

// As --initial-cluster of the new member wants it.
std::string initial_cluster(const std::vector<MemberEntry>& members, uint64_t added,
                            const std::string& name) {
  std::string list;
  for (const MemberEntry& member : members) {
    const std::string& shown = member.id == added ? name : member.name;
    for (const std::string& url : member.peer_urls) {
      list += (list.empty() ? "" : ",") + (shown.empty() ? hex(member.id) : shown) + "=" + url;
    }
  }
  return list;
}

std::string how_to_start(const std::string& name, const std::vector<std::string>& urls,
                         const std::string& cluster) {
  return "Start it on its machine, with client URLs and a data directory of its own:\n"
         "  quorate serve --name " +
         name + " --listen-peer-urls " + joined(urls) + " \\\n    --initial-advertise-peer-urls " +
         joined(urls) + " \\\n    --initial-cluster-state existing --initial-cluster " + cluster +
         "\n";
}

std::string id_request(uint64_t id) {
  std::string request;
  protobuf::write_number(1, static_cast<int64_t>(id), request);
  return request;
}

Response add_member(Session& session, const std::vector<std::string>& urls, bool learner) {
  std::string request;
  for (const std::string& url : urls) protobuf::write_present(1, url, request);
  protobuf::write_number(2, learner ? 1 : 0, request);
  return session.write(kPathMemberAdd, request);
}

// Prints the members that the answer of a change holds, behind one line for people.
int show_change(const Common& common, const Response& response, const std::string& line) {
  if (response.verdict != Verdict::done) return report(response, true);
  const auto members = decode_member_list(response.body);
  if (!members) return undecodable();
  if (!common.json) std::cout << line << '\n';
  print_members(common, *members);
  return kExitOk;
}

// One call about one member of the cluster, which the command line names.
int change_one(const Common& common, const MemberOptions& options, const char* path,
               const std::string& done, const std::string& in_etcdctl) {
  if (!etcdctl::check_change_format(common)) return kExitUsage;
  Session session(common);
  int code = kExitOk;
  const auto members = list_members(session, code);
  if (!members) return code;
  const MemberEntry* member = find_or_complain(*members, options.member);
  if (member == nullptr) return kExitRefused;
  std::string request = id_request(member->id);
  for (const std::string& url : options.peer_urls) protobuf::write_present(2, url, request);
  const Response response = session.write(path, request);
  if (response.verdict == Verdict::done && !common.write_out.empty()) {
    return etcdctl::show_member_changed(common, response.body, member->id, in_etcdctl);
  }
  return show_change(common, response, done + " " + named(*member));
}

}  // namespace

int run_member_add(const Common& common, const MemberOptions& options) {
  if (!urls_are_fine(options.peer_urls) || !etcdctl::check_change_format(common)) {
    return kExitUsage;
  }
  Session session(common);
  const Response response = add_member(session, options.peer_urls, options.learner);
  if (response.verdict != Verdict::done) return report(response, true);
  if (!common.write_out.empty()) {
    return etcdctl::show_member_added(common, response.body, options.name);
  }
  const auto added = decode_member_added(response.body);
  if (!added) return undecodable();
  const std::string cluster = initial_cluster(added->members, added->member.id, options.name);
  if (common.json) {
    std::cout << member_added_json(*added, cluster) << '\n';
    return kExitOk;
  }
  std::cout << "added " << (added->member.learner ? "learner " : "member ") << hex(added->member.id)
            << " to cluster " << hex(added->cluster_id) << '\n';
  print_members(common, added->members);
  std::cout << '\n' << how_to_start(options.name, options.peer_urls, cluster);
  return kExitOk;
}

int run_member_remove(const Common& common, const MemberOptions& options) {
  return change_one(common, options, kPathMemberRemove, "removed member", "removed from");
}

int run_member_update(const Common& common, const MemberOptions& options) {
  if (!urls_are_fine(options.peer_urls)) return kExitUsage;
  return change_one(common, options, kPathMemberUpdate, "updated the peer URLs of member",
                    "updated in");
}

int run_member_promote(const Common& common, const MemberOptions& options) {
  return change_one(common, options, kPathMemberPromote, "promoted member", "promoted in");
}

namespace {

// The replacement of one voter, from the first look to the last.
class Replacement {
 public:
  Replacement(const Common& common, const MemberOptions& options)
      : common_(common), options_(options), session_(common) {}

  int run() {
    if (const int code = prepare(); code != kExitOk) return code;
    const auto end = Clock::now() + std::chrono::seconds(options_.wait_seconds);
    while (true) {
      int code = kExitOk;
      if (step(code)) return code;
      if (Clock::now() >= end) break;
      std::this_thread::sleep_for(kLookInterval);
    }
    complain("the new member " + hex(incoming_) + " was not ready after " +
             std::to_string(options_.wait_seconds) + " s (" + progress_ +
             "); nothing was replaced. It stays as a learner: run the same command again to go "
             "on, or give up with: quorate member remove " +
             hex(incoming_));
    return kExitUnavailable;
  }

 private:
  void say(const std::string& text) {
    if (text == progress_) return;
    progress_ = text;
    std::cerr << text << '\n' << std::flush;
  }

  // Who leaves and who comes; adds the latter unless an earlier run has done so.
  int prepare() {
    int code = kExitOk;
    const auto members = list_members(session_, code);
    if (!members) return code;
    const MemberEntry* old = find_or_complain(*members, options_.member);
    if (old == nullptr) return kExitRefused;
    if (old->learner) {
      complain("member " + named(*old) + " is a learner; remove it and add the new one instead");
      return kExitRefused;
    }
    leaving_ = *old;
    std::vector<std::string> wanted = options_.peer_urls;
    std::ranges::sort(wanted);
    for (const MemberEntry& member : *members) {
      std::vector<std::string> urls = member.peer_urls;
      std::ranges::sort(urls);
      if (urls != wanted) continue;
      if (!member.learner) {
        complain("member " + named(member) + " has these peer URLs and votes already");
        return kExitRefused;
      }
      incoming_ = member.id;
      say("going on with learner " + named(member) + ", which was added before");
      return kExitOk;
    }
    return add();
  }

  int add() {
    const Response response = add_member(session_, options_.peer_urls, true);
    if (response.verdict != Verdict::done) return report(response, true);
    const auto added = decode_member_added(response.body);
    if (!added) return undecodable();
    incoming_ = added->member.id;
    std::cerr << "added learner " << hex(incoming_) << '\n'
              << how_to_start(options_.name, options_.peer_urls,
                              initial_cluster(added->members, incoming_, options_.name));
    return kExitOk;
  }

  // True: it is over, with `code`.
  bool step(int& code) {
    const auto members = list_members(session_, code);
    if (!members) return code == kExitRefused;  // else the cluster may be back soon
    const auto member = std::ranges::find(*members, incoming_, &MemberEntry::id);
    if (member == members->end()) {
      complain("the new member " + hex(incoming_) + " was removed by somebody else");
      code = kExitRefused;
      return true;
    }
    if (member->name.empty()) {
      say("waiting for " + hex(incoming_) + " to be started");
      return false;
    }
    say_how_far(*member);
    std::string request = id_request(leaving_.id);
    protobuf::write_number(2, static_cast<int64_t>(incoming_), request);
    const Response response = session_.write(kPathMemberReplace, request);
    if (response.verdict == Verdict::refused && response.text.ends_with("in sync with leader")) {
      return false;
    }
    code = show_change(common_, response,
                       named(*member) + " took the place of " + named(leaving_) +
                           ", whose process ends now; its data directory may be removed");
    return true;
  }

  void say_how_far(const MemberEntry& member) {
    uint64_t applied = 0;
    uint64_t index = 0;
    for (const std::string& url : member.client_urls) {
      const auto address = endpoint_address(url);
      if (!address) continue;
      const auto status = decode_status(session_.ask(*address, kPathStatus, "").body);
      if (status) applied = status->applied;
    }
    for (const std::string& endpoint : session_.endpoints()) {
      const auto status = decode_status(session_.ask(endpoint, kPathStatus, "").body);
      if (status) index = std::max(index, status->index);
    }
    say(named(member) + " runs and has " + std::to_string(applied) + " of " +
        std::to_string(index) + " entries");
  }

  const Common& common_;
  const MemberOptions& options_;
  Session session_;
  MemberEntry leaving_;
  uint64_t incoming_ = 0;
  std::string progress_;
};

// Where the leader serves clients: one of the endpoints, or what it has published itself.
std::optional<std::string> leader_endpoint(Session& session,
                                           const std::vector<MemberEntry>& members,
                                           uint64_t& leader) {
  for (const std::string& endpoint : session.endpoints()) {
    const auto status = decode_status(session.ask(endpoint, kPathStatus, "").body);
    if (!status || status->leader == 0) continue;
    leader = status->leader;
    if (status->member_id == leader) return endpoint;
  }
  const auto member = std::ranges::find(members, leader, &MemberEntry::id);
  if (member == members.end() || member->client_urls.empty()) return std::nullopt;
  const auto address = endpoint_address(member->client_urls.front());
  if (!address) return std::nullopt;
  return *address;
}

}  // namespace

int run_member_replace(const Common& common, const MemberOptions& options) {
  if (!urls_are_fine(options.peer_urls)) return kExitUsage;
  return Replacement(common, options).run();
}

int run_move_leader(const Common& common, const MemberOptions& options) {
  if (!etcdctl::check_change_format(common)) return kExitUsage;
  Session session(common);
  int code = kExitOk;
  const auto members = list_members(session, code);
  if (!members) return code;
  const MemberEntry* target = find_or_complain(*members, options.member);
  if (target == nullptr) return kExitRefused;
  uint64_t leader = 0;
  const auto endpoint = leader_endpoint(session, *members, leader);
  if (!endpoint) {
    complain("no leader is known at " + joined(common.endpoints) +
             "; see `quorate status`, and try again when there is one");
    return kExitUnavailable;
  }
  Access at_leader = common;
  at_leader.endpoints = {*endpoint};
  const Response response = Session(at_leader).write(kPathMoveLeader, id_request(target->id));
  if (response.verdict != Verdict::done) return report(response, true);
  const auto from = std::ranges::find(*members, leader, &MemberEntry::id);
  if (!common.write_out.empty()) {
    return etcdctl::show_done(
        common, response.body,
        "Leadership transferred from " + hex(leader) + " to " + hex(target->id));
  }
  if (common.json) {
    std::cout << leader_moved_json(leader, target->id) << '\n';
  } else {
    std::cout << "leadership moved from " << (from == members->end() ? hex(leader) : named(*from))
              << " to " << named(*target) << '\n';
  }
  return kExitOk;
}

}  // namespace quorate::app
