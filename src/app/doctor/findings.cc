// What facts mean: in plain words, with what to do.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "app/doctor/facts.h"
#include "app/etcdctl/go_text.h"
#include "app/output.h"

namespace quorate::app::doctor {
namespace {

using etcdctl::duration_text;
using etcdctl::size_text;

// A disk that syncs slower than this holds up every write; etcd's documentation asks for 10 ms.
constexpr auto kSyncSlow = std::chrono::milliseconds(10);
constexpr auto kSyncTooSlow = std::chrono::milliseconds(100);
// A question takes a round trip, a linearizable read one or two more between members.
constexpr auto kLatencyHigh = std::chrono::milliseconds(100);
constexpr auto kReadHigh = std::chrono::milliseconds(500);
// Clocks decide nothing here, but certificates and the reading of logs depend on them.
constexpr double kClockSecondsMax = 1.0;
// Beyond it a member has fallen behind for longer than a hiccup lasts.
constexpr uint64_t kEntriesBehindMax = 5000;
constexpr int64_t kDefaultQuotaBytes = int64_t{2} << 30U;
constexpr double kQuotaPartHigh = 0.8;
constexpr double kFreePartLow = 0.15;
constexpr double kFreePartTooLow = 0.05;
constexpr int64_t kDaySeconds = 86400;
constexpr int64_t kExpirySoonSeconds = 30 * kDaySeconds;

std::string named(const MemberFacts& member) {
  if (member.id == 0) return member.endpoint;
  return (member.name.empty() ? "" : printable(member.name) + " ") + "(" + hex(member.id) + ")";
}

std::string percent(double part) {
  return std::to_string(static_cast<int>(std::floor(part * 100 + 0.5))) + " %";
}

class Judge {
 public:
  explicit Judge(const Facts& facts) : facts_(facts) {}
  std::vector<Finding> judge();

 private:
  void say(Level level, std::string about, std::string what, std::string advice = {}) {
    findings_.push_back({level, std::move(about), std::move(what), std::move(advice)});
  }
  void members();
  void absent(const MemberFacts& member);
  void quorum();
  void leader();
  void progress();
  void versions();
  void space();
  void alarms();
  void latency();
  void clocks();
  void hashes();
  void disks();
  void certificates();
  std::string why_not(const MemberFacts& member) const;
  const MemberFacts* find(uint64_t id) const;
  bool any_answers() const { return std::ranges::any_of(facts_.members, &MemberFacts::answered); }

  const Facts& facts_;
  std::vector<Finding> findings_;
};

const MemberFacts* Judge::find(uint64_t id) const {
  const auto at = std::ranges::find(facts_.members, id, &MemberFacts::id);
  return at == facts_.members.end() ? nullptr : &*at;
}

std::string Judge::why_not(const MemberFacts& member) const {
  return member.problem.empty() ? "it has published no client URL" : member.problem;
}

void Judge::absent(const MemberFacts& member) {
  if (!member.listed) {
    say(Level::problem, "members", member.endpoint + " does not answer: " + member.problem,
        "Check the address; if a member serves there, see whether it runs and what its log says.");
  } else if (member.name.empty() && member.client_urls.empty()) {
    say(Level::problem, "members",
        "member " + named(member) + " was added and has never been started",
        "Start it with --initial-cluster-state existing, or take it out again: quorate member "
        "remove " +
            hex(member.id) + ". Until then a voter that is not there makes majorities harder.");
  } else {
    say(Level::problem, "members",
        "member " + named(member) + " does not answer: " + why_not(member),
        "Start it again, or look into its log and at its machine. If the machine is lost for good: "
        "quorate member replace " +
            (member.name.empty() ? hex(member.id) : member.name) + " NEWNAME PEERURL.");
  }
}

void Judge::members() {
  if (!any_answers()) {
    std::string reasons;
    for (const MemberFacts& member : facts_.members) {
      reasons += (reasons.empty() ? "" : "; ") + why_not(member);
    }
    say(Level::problem, "members", "nobody answers: " + reasons,
        "Check --endpoints, whether members run (systemctl status quorate), and the network "
        "between "
        "here and them.");
    return;
  }
  if (!facts_.members_problem.empty()) {
    say(Level::problem, "members",
        "nobody can say who belongs to the cluster: " + facts_.members_problem,
        "Name every member in --endpoints to see at least those.");
  }
  size_t answering = 0;
  std::set<uint64_t> clusters;
  for (const MemberFacts& member : facts_.members) {
    if (!member.answered) {
      absent(member);
      continue;
    }
    ++answering;
    clusters.insert(member.cluster);
    if (!member.listed && facts_.members_problem.empty()) {
      say(Level::problem, "members", member.endpoint + " is no member of this cluster",
          "It belongs to another cluster or was removed; take it out of --endpoints.");
    }
    if (member.learner) {
      say(Level::note, "members", "member " + named(member) + " is a learner: it has no vote",
          "Once it has caught up: quorate member promote " + hex(member.id) + ".");
    }
  }
  if (clusters.size() > 1) {
    say(Level::problem, "members", "the endpoints belong to different clusters",
        "Ask one cluster at a time.");
  }
  if (answering == facts_.members.size()) {
    say(Level::well, "members", "all " + std::to_string(answering) + " members answer");
  }
}

void Judge::quorum() {
  size_t voters = 0;
  size_t answering = 0;
  size_t reading = 0;
  std::string failure;
  for (const MemberFacts& member : facts_.members) {
    if (!member.listed) continue;
    if (member.answered && !member.reads) failure = member.read_problem;
    if (member.learner) continue;
    ++voters;
    answering += member.answered ? 1 : 0;
    reading += member.reads ? 1 : 0;
  }
  if (voters == 0) return;
  const size_t majority = voters / 2 + 1;
  const std::string count =
      std::to_string(answering) + " of " + std::to_string(voters) + " voters answer";
  if (reading == 0) {
    const std::string need = answering < majority
                                 ? ", and a majority is " + std::to_string(majority)
                                 : ", but they have no working majority";
    say(Level::problem, "quorum",
        count + need +
            ": nothing can be written or read"
            " linearizably" +
            (failure.empty() ? "" : " (" + failure + ")"),
        answering < majority
            ? "Start " + std::to_string(majority - answering) +
                  " more of the missing voters; their data is needed. Nothing that was "
                  "acknowledged is lost as long as a majority of disks is."
            : "See whether the members reach each other on their peer URLs.");
    return;
  }
  const size_t spare = answering < majority ? 0 : answering - majority;
  if (answering < voters) {
    say(spare == 0 ? Level::problem : Level::note, "quorum",
        count + ": the cluster works, and " +
            (spare == 0 ? "stops if one more of them fails"
                        : "bears " + std::to_string(spare) + " more failures"),
        "Bring the missing ones back before anything else is changed.");
  } else if (voters > 1 && voters % 2 == 0) {
    say(Level::note, "quorum",
        std::to_string(voters) + " voters bear no more failures than " +
            std::to_string(voters - 1) + " would",
        "An odd number of voters costs less for the same.");
  } else {
    say(Level::well, "quorum",
        count + ", the cluster bears " + std::to_string(spare) +
            (spare == 1 ? " failure" : " failures"));
  }
}

void Judge::leader() {
  std::map<uint64_t, size_t> leaders;
  uint64_t term = 0;
  size_t without = 0;
  for (const MemberFacts& member : facts_.members) {
    if (!member.answered) continue;
    term = std::max(term, member.term);
    if (member.leader == 0) {
      ++without;
      say(Level::problem, "leader", "member " + named(member) + " knows no leader",
          "If it stays so, this member does not reach a majority: check its peer URLs and the "
          "network between members.");
    } else {
      ++leaders[member.leader];
    }
  }
  if (leaders.size() > 1) {
    say(Level::problem, "leader", "members follow different leaders",
        "Ask again: an election may just have ended. If it stays so, some members are cut off.");
  } else if (leaders.size() == 1 && without == 0) {
    const MemberFacts* led = find(leaders.begin()->first);
    say(Level::well, "leader",
        (led == nullptr ? hex(leaders.begin()->first) : named(*led)) + " leads in term " +
            std::to_string(term));
  }
}

void Judge::progress() {
  uint64_t furthest = 0;
  for (const MemberFacts& member : facts_.members) furthest = std::max(furthest, member.index);
  for (const MemberFacts& member : facts_.members) {
    if (!member.answered) continue;
    if (furthest - member.index > kEntriesBehindMax) {
      say(Level::problem, "progress",
          "member " + named(member) + " is " + std::to_string(furthest - member.index) +
              " log entries behind",
          "Look at its disk and network; it may be fetching a snapshot, which its log says.");
    } else if (member.index > member.applied && member.index - member.applied > kEntriesBehindMax) {
      say(Level::problem, "progress",
          "member " + named(member) + " has not applied " +
              std::to_string(member.index - member.applied) + " committed entries yet",
          "It is overloaded: look at its processor and disk.");
    }
  }
}

void Judge::versions() {
  std::map<std::string, std::string> versions;
  for (const MemberFacts& member : facts_.members) {
    if (member.answered) versions[member.version] += " " + named(member);
  }
  if (versions.size() < 2) return;
  std::string list;
  for (const auto& [version, who] : versions) {
    list += (list.empty() ? "" : ", ") + version + ":" + who;
  }
  say(Level::note, "versions", "members run different versions (" + list + ")",
      "Fine during an upgrade; finish it soon.");
}

void Judge::space() {
  for (const MemberFacts& member : facts_.members) {
    if (!member.answered) continue;
    const int64_t quota = member.quota_bytes == 0 ? kDefaultQuotaBytes : member.quota_bytes;
    const double part = static_cast<double>(member.store_bytes) / static_cast<double>(quota);
    if (quota > 0 && part >= kQuotaPartHigh) {
      say(Level::problem, "space",
          "the store of " + named(member) + " has " + size_text(member.store_bytes) + ", " +
              percent(part) + " of its quota of " + size_text(quota) +
              (member.quota_bytes == 0 ? " (the default; it does not say)" : ""),
          "Compact old revisions (quorate compact REVISION), then quorate defrag --cluster; if all "
          "of it is needed, raise --quota-backend-bytes. A full store refuses writes.");
    }
  }
}

void Judge::alarms() {
  if (any_answers() && !facts_.alarms_problem.empty()) {
    say(Level::note, "alarms", "alarms cannot be listed: " + facts_.alarms_problem,
        "Ask again as a user who may, or when there is a majority.");
  }
  std::set<std::pair<uint64_t, std::string>> raised;
  for (const AlarmFacts& alarm : facts_.alarms) raised.insert({alarm.member, alarm.kind});
  for (const auto& [id, kind] : raised) {
    const MemberFacts* member = find(id);
    const std::string who = member == nullptr ? hex(id) : named(*member);
    if (kind == "NOSPACE") {
      say(Level::problem, "alarms",
          "alarm NOSPACE of " + who +
              ": the store reached its quota, and "
              "the whole cluster refuses writes that take space",
          "Delete what is not needed, quorate compact REVISION, quorate defrag --cluster, then "
          "quorate alarm disarm.");
    } else {
      say(Level::problem, "alarms",
          "alarm CORRUPT of " + who +
              ": its data differs from that of the others, and the cluster refuses writes",
          "Find the odd one with quorate doctor --hashes, replace that member (quorate member "
          "replace), then quorate alarm disarm.");
    }
  }
}

void Judge::latency() {
  for (const MemberFacts& member : facts_.members) {
    if (!member.answered) continue;
    if (member.latency > kLatencyHigh) {
      say(Level::note, "latency",
          "member " + named(member) + " takes " + duration_text(member.latency) +
              " to say how it is",
          "It is far away or busy; compare with ping.");
    }
    if (member.reads && member.read_latency > kReadHigh) {
      say(Level::note, "latency",
          "a linearizable read through " + named(member) + " takes " +
              duration_text(member.read_latency),
          "Look at the network between members and the leader's load.");
    }
    if (!member.reads && member.leader != 0 && !member.learner) {
      say(Level::problem, "quorum",
          "member " + named(member) + " answers, but not linearizably: " + member.read_problem,
          "It does not reach the leader; check its peer URLs.");
    }
  }
}

void Judge::clocks() {
  const MemberFacts* earliest = nullptr;
  const MemberFacts* latest = nullptr;
  for (const MemberFacts& member : facts_.members) {
    if (!member.clock_offset) continue;
    if (earliest == nullptr || *member.clock_offset < *earliest->clock_offset) earliest = &member;
    if (latest == nullptr || *member.clock_offset > *latest->clock_offset) latest = &member;
  }
  if (earliest == nullptr || earliest == latest) return;
  const double apart = *latest->clock_offset - *earliest->clock_offset;
  const double sure = apart - earliest->clock_doubt - latest->clock_doubt;
  char text[32];
  std::snprintf(text, sizeof(text), "%.3f s", apart);
  if (sure > kClockSecondsMax) {
    say(Level::problem, "clocks",
        "the clock of " + named(*latest) + " is " + text + " ahead of that of " + named(*earliest),
        "Let both keep time (chrony or systemd-timesyncd). Data is safe, since no "
        "decision depends on it, but certificates and the reading of logs do.");
  } else {
    say(Level::well, "clocks", std::string("clocks are at most ") + text + " apart");
  }
}

void Judge::hashes() {
  if (facts_.hash_revision == 0) return;
  std::map<uint64_t, std::string> hashes;
  for (const MemberFacts& member : facts_.members) {
    if (member.hash) hashes[*member.hash] += " " + named(member);
    if (member.answered && !member.hash) {
      say(Level::note, "hashes", "member " + named(member) + " gave no hash of its keys",
          "Try again: it may have been compacted meanwhile.");
    }
  }
  const std::string at = " at revision " + std::to_string(facts_.hash_revision);
  if (hashes.size() == 1) {
    say(Level::well, "hashes", "all asked members hold the same keys" + at);
  } else if (hashes.size() > 1) {
    std::string list;
    for (const auto& [hash, who] : hashes) list += (list.empty() ? "" : " |") + who;
    say(Level::problem, "hashes", "members hold different keys" + at + ":" + list,
        "Stop writing, keep the data directories, and replace the members that disagree with the "
        "majority.");
  }
}

void Judge::disks() {
  for (const DiskFacts& disk : facts_.disks) {
    if (!disk.problem.empty()) {
      say(Level::problem, "disk", disk.directory + ": " + disk.problem,
          "Name the data directory of a member on this machine, as a user who may write there.");
      continue;
    }
    const std::string sync = disk.directory + ": a small synced write takes " +
                             duration_text(disk.sync_typical) + " (slowest " +
                             duration_text(disk.sync_slowest) + ")";
    if (disk.sync_typical > kSyncTooSlow) {
      say(Level::problem, "disk", sync,
          "Every write of the cluster waits for it: use a faster disk, "
          "or one that nobody else uses.");
    } else if (disk.sync_typical > kSyncSlow) {
      say(Level::note, "disk", sync, "10 ms is what a busy cluster wants: use a disk of its own.");
    } else {
      say(Level::well, "disk", sync);
    }
    const double part = disk.total_bytes == 0 ? 0
                                              : static_cast<double>(disk.free_bytes) /
                                                    static_cast<double>(disk.total_bytes);
    const std::string room = disk.directory + ": " +
                             size_text(static_cast<int64_t>(disk.free_bytes)) + " free, " +
                             percent(part);
    if (part < kFreePartTooLow) {
      say(Level::problem, "disk", room, "A member whose disk is full stops: make room now.");
    } else if (part < kFreePartLow) {
      say(Level::note, "disk", room, "Make room before it runs out.");
    } else {
      say(Level::well, "disk", room);
    }
  }
}

void Judge::certificates() {
  for (const CertificateFacts& each : facts_.certificates) {
    if (!each.problem.empty()) {
      say(Level::problem, "certificates", each.file + " " + each.problem, "Name a PEM file.");
      continue;
    }
    const std::string which = "the certificate " + each.subject + " in " + each.file;
    const std::string days = std::to_string(std::abs(each.seconds_left) / kDaySeconds) + " days";
    if (each.seconds_to_begin > 0) {
      say(Level::problem, "certificates", which + " is not valid yet",
          "Check this machine's clock, or the date the certificate was made with.");
    } else if (each.seconds_left <= 0) {
      say(Level::problem, "certificates", which + " expired " + days + " ago",
          "Replace it: connections that show it are refused.");
    } else if (each.seconds_left < kExpirySoonSeconds) {
      say(Level::note, "certificates", which + " expires in " + days, "Replace it in time.");
    } else {
      say(Level::well, "certificates", which + " is valid for " + days);
    }
  }
}

std::vector<Finding> Judge::judge() {
  members();
  if (any_answers()) {
    quorum();
    leader();
    progress();
    versions();
    space();
    alarms();
    latency();
    clocks();
    hashes();
  }
  disks();
  certificates();
  std::ranges::stable_sort(findings_, std::greater{}, &Finding::level);
  return std::move(findings_);
}

}  // namespace

std::vector<Finding> findings_of(const Facts& facts) { return Judge(facts).judge(); }

}  // namespace quorate::app::doctor
