#include "app/top/view.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <tuple>

#include "app/doctor/page.h"
#include "app/etcdctl/go_text.h"
#include "app/output.h"
#include "app/urls.h"

namespace quorate::app::top {
namespace {

using doctor::MemberFacts;
using etcdctl::json_text;

// Names and errors are texts of a server: a long one must not push everything else away.
constexpr size_t kCellColumnsMax = 32;
constexpr size_t kProblemsMax = 16;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::optional<double> rate(double before, double now, Duration between) {
  // Less than before: the member was started anew, and counts from zero.
  if (now < before || between <= Duration{}) return std::nullopt;
  return (now - before) / seconds(between);
}

void take_rates(const Watched& watched, Row& row) {
  const Sample& before = watched.before;
  const Sample& now = watched.now;
  if (!before.facts.answered || before.facts.id != now.facts.id) return;
  row.changes = rate(static_cast<double>(before.facts.revision),
                     static_cast<double>(now.facts.revision), now.at - before.at);
  if (!before.counters || !now.counters) return;
  const Duration between = now.counted_at - before.counted_at;
  row.calls = rate(before.counters->calls, now.counters->calls, between);
  if (!before.counters->puts || !now.counters->puts) return;
  row.puts = rate(*before.counters->puts, *now.counters->puts, between);
}

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

Row row_of(const Watched& watched, Duration now, Duration stale) {
  Row row;
  row.facts = watched.now.facts;
  row.facts.endpoint = watched.endpoint;
  if (watched.rounds == 0 || now - watched.now.at > stale) {
    row.facts.answered = false;
    row.facts.problem =
        watched.rounds == 0
            ? "has not answered yet"
            : "has not answered for " + number("%.1f", seconds(now - watched.now.at)) + " s";
  }
  if (row.facts.answered) take_rates(watched, row);
  return row;
}

// Of two endpoints of one member the one that answers, as it is first in `watched`.
const Watched* place_of(const MemberFacts& member, const std::vector<Watched>& watched) {
  const Watched* silent = nullptr;
  for (const Watched& each : watched) {
    if (each.now.facts.answered && each.now.facts.id == member.id) return &each;
    const bool same = each.before.facts.answered && each.before.facts.id == member.id;
    const bool published = publishes(member, each.endpoint) && !each.now.facts.answered;
    if (silent == nullptr && (same || published)) silent = &each;
  }
  return silent;
}

void add_listed(const std::vector<Watched>& watched, Duration stale, View& view) {
  for (const MemberFacts& member : newest_list(watched)) {
    view.listed = true;
    Row row;
    const Watched* at = place_of(member, watched);
    if (at != nullptr) {
      row = row_of(*at, view.at, stale);
    } else if (member.client_urls.empty()) {
      row.facts.problem = "has never been started, or serves no clients";
    } else {
      row.facts.problem = "has not been asked yet";
    }
    row.facts.id = member.id;
    row.facts.name = member.name;
    row.facts.listed = true;
    row.facts.learner = row.facts.learner || member.learner;
    view.rows.push_back(std::move(row));
  }
}

// What was asked for and is no member's: whoever named it should hear of it.
void add_strangers(const std::vector<Watched>& watched, Duration stale, View& view) {
  const auto& list = newest_list(watched);
  for (const Watched& each : watched) {
    const bool known = std::ranges::any_of(list, [&](const MemberFacts& member) {
      const MemberFacts& facts = each.now.facts;
      const MemberFacts& before = each.before.facts;
      return facts.answered
                 ? facts.id == member.id
                 : publishes(member, each.endpoint) || (before.answered && before.id == member.id);
    });
    if (!each.given || known) continue;
    view.rows.push_back(row_of(each, view.at, stale));
  }
}

std::string name_of(const MemberFacts& facts) {
  if (!facts.name.empty()) return facts.name;
  if (!facts.endpoint.empty()) return facts.endpoint;
  return hex(facts.id);
}

std::string name_of(const View& view, uint64_t member) {
  for (const Row& row : view.rows) {
    if (row.facts.id == member && !row.facts.name.empty()) return row.facts.name;
  }
  return hex(member);
}

void add_problems(View& view) {
  std::map<std::string, std::string> who;  // an alarm is told by every member
  for (const Row& row : view.rows) {
    const std::string name = name_of(row.facts);
    if (!row.facts.answered) {
      view.problems.push_back(name + ": " + row.facts.problem);
      continue;
    }
    if (view.listed && !row.facts.listed) {
      view.problems.push_back(name + ": is not among the members; another cluster's?");
    }
    for (const std::string& error : row.facts.errors) {
      std::string& names = who[error];
      names += (names.empty() ? "" : ", ") + name;
    }
  }
  for (const auto& [error, names] : who) view.problems.push_back(names + ": " + error);
}

void summarize(View& view) {
  uint64_t decided = 0;
  const Row* reference = nullptr;  // the cluster's rates are those that it sees
  for (const Row& row : view.rows) {
    const MemberFacts& facts = row.facts;
    if (!facts.answered || (view.listed && !facts.listed)) continue;
    ++view.answering;
    view.cluster = facts.cluster;
    view.revision = std::max(view.revision, facts.revision);
    decided = std::max(decided, facts.index);
    if (facts.term > view.term) {
      view.term = facts.term;
      view.leader = 0;
    }
    if (facts.term == view.term && facts.leader != 0) view.leader = facts.leader;
    // Not the fastest one: that may only be catching up.
    const bool further = reference == nullptr || facts.revision > reference->facts.revision;
    if (row.changes && further) reference = &row;
  }
  for (Row& row : view.rows) {
    if (!row.facts.answered || (view.listed && !row.facts.listed)) continue;
    row.behind = decided - std::min(decided, row.facts.applied);
    if (row.changes && row.facts.id == view.leader) reference = &row;
  }
  if (reference == nullptr) return;
  view.changes = reference->changes;
  view.puts = reference->puts;
}

std::string cut(std::string_view text, size_t columns) {
  if (columns == 0) return std::string(text);
  size_t seen = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) continue;
    if (seen++ == columns) return std::string(text.substr(0, at));
  }
  return std::string(text);
}

std::string cell(std::string_view bytes) {
  return cut(printable(bytes.substr(0, 4 * kCellColumnsMax)), kCellColumnsMax);
}

std::string per_second(const std::optional<double>& value) {
  return value ? number(*value < 100 ? "%.1f" : "%.0f", *value) : "-";
}

std::string role(const View& view, const MemberFacts& facts) {
  if (!facts.answered) return "NO ANSWER";
  if (view.listed && !facts.listed) return "no member";
  if (facts.learner) return "learner";
  if (facts.leader == 0) return "no leader";
  return facts.leader == facts.id ? "leader" : "follower";
}

std::string milliseconds(Duration duration) { return number("%.1f ms", seconds(duration) * 1000); }

std::vector<std::string> cells(const View& view, const Row& row) {
  const MemberFacts& facts = row.facts;
  std::vector<std::string> made = {cell(name_of(facts)), role(view, facts)};
  if (!facts.answered) {
    made.resize(12, "-");
    made.push_back(cell(facts.endpoint));
    return made;
  }
  const double full = facts.quota_bytes > 0 ? 100 * static_cast<double>(facts.store_bytes) /
                                                  static_cast<double>(facts.quota_bytes)
                                            : 0;
  for (std::string& each :
       std::vector<std::string>{milliseconds(facts.latency), std::to_string(facts.term),
                                std::to_string(facts.index), std::to_string(facts.applied),
                                std::to_string(row.behind), std::to_string(facts.revision),
                                per_second(row.calls), etcdctl::size_text(facts.store_bytes),
                                facts.quota_bytes > 0 ? number("%.0f%%", full) : "-",
                                cell(facts.version), cell(facts.endpoint)}) {
    made.push_back(std::move(each));
  }
  return made;
}

void add_summary(const View& view, std::vector<Line>& lines) {
  const size_t total = static_cast<size_t>(std::ranges::count_if(
      view.rows, [&](const Row& row) { return !view.listed || row.facts.listed; }));
  std::string text = std::to_string(total) + (total == 1 ? " member, " : " members, ") +
                     std::to_string(view.answering) +
                     (view.answering == 1 ? " answers" : " answer");
  if (view.answering > 0) {
    text += view.leader == 0 ? ", no leader" : ", " + cell(name_of(view, view.leader)) + " leads";
    text += " in term " + std::to_string(view.term);
  }
  lines.push_back({text});
  if (view.answering == 0) return;
  lines.push_back({"revision " + std::to_string(view.revision) + ", " + per_second(view.changes) +
                   " changes/s, " + per_second(view.puts) + " puts/s"});
}

std::string json_number(const std::optional<double>& value) {
  return value ? number("%.3f", *value) : "null";
}

std::string json_id(uint64_t id) { return id == 0 ? "\"\"" : json_text(hex(id)); }

std::string json_of(const View& view, const Row& row) {
  const MemberFacts& facts = row.facts;
  std::string text = "{\"id\":" + json_id(facts.id) + ",\"name\":" + json_text(facts.name) +
                     ",\"endpoint\":" + json_text(facts.endpoint) +
                     ",\"answers\":" + (facts.answered ? "true" : "false");
  if (!facts.answered) return text + ",\"problem\":" + json_text(facts.problem) + "}";
  text += ",\"role\":" + json_text(role(view, facts)) +
          ",\"latency_ms\":" + number("%.3f", seconds(facts.latency) * 1000) +
          ",\"term\":" + std::to_string(facts.term) + ",\"index\":" + std::to_string(facts.index) +
          ",\"applied\":" + std::to_string(facts.applied) +
          ",\"behind\":" + std::to_string(row.behind) +
          ",\"revision\":" + std::to_string(facts.revision) +
          ",\"changes_per_second\":" + json_number(row.changes) +
          ",\"requests_per_second\":" + json_number(row.calls) +
          ",\"store_bytes\":" + std::to_string(facts.store_bytes) +
          ",\"used_bytes\":" + std::to_string(facts.used_bytes) +
          ",\"quota_bytes\":" + std::to_string(facts.quota_bytes) +
          ",\"version\":" + json_text(facts.version) + ",\"errors\":[";
  for (size_t at = 0; at < facts.errors.size(); ++at) {
    text += (at == 0 ? "" : ",") + json_text(facts.errors[at]);
  }
  return text + "]}";
}

}  // namespace

std::optional<Counters> counters_in(std::string_view page) {
  Counters counters;
  bool any = false;
  counters.puts = doctor::metric_value(page, "etcd_mvcc_put_total");
  while (!page.empty()) {
    const size_t stop = std::min(page.find('\n'), page.size());
    const std::string_view line = page.substr(0, stop);
    page.remove_prefix(std::min(stop + 1, page.size()));
    if (!line.starts_with("grpc_server_started_total{")) continue;
    any = true;
    const bool ours =
        line.contains("grpc_method=\"Status\"") || line.contains("grpc_method=\"MemberList\"");
    const std::string_view text = line.substr(line.rfind(' ') + 1);  // npos + 1 is 0
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!ours && error == std::errc()) counters.calls += value;
  }
  return any ? std::optional(counters) : std::nullopt;
}

const std::vector<MemberFacts>& newest_list(const std::vector<Watched>& watched) {
  static const std::vector<MemberFacts> kNone;
  const Watched* newest = nullptr;
  const auto age = [](const Watched& each) {
    const MemberFacts& facts = each.now.facts;
    return std::tuple(facts.answered, facts.term, facts.applied);
  };
  for (const Watched& each : watched) {
    if (each.members.empty()) continue;
    if (newest == nullptr || age(each) > age(*newest)) newest = &each;
  }
  return newest == nullptr ? kNone : newest->members;
}

bool publishes(const MemberFacts& member, const std::string& endpoint) {
  return std::ranges::any_of(member.client_urls, [&](const std::string& url) {
    const auto address = endpoint_address(url);
    return address && *address == endpoint;
  });
}

View view_of(const std::vector<Watched>& watched, Duration now, Duration stale) {
  View view;
  view.at = now;
  add_listed(watched, stale, view);
  add_strangers(watched, stale, view);
  summarize(view);
  add_problems(view);
  return view;
}

std::vector<Line> lines_of(const View& view, const std::string& heading, Size size) {
  std::vector<Line> lines;
  if (!heading.empty()) lines.push_back({heading});
  add_summary(view, lines);
  lines.push_back({});
  Table table({"NAME", "ROLE", "LATENCY", "TERM", "COMMITTED", "APPLIED", "BEHIND", "REVISION",
               "REQUESTS/S", "STORE", "FULL", "VERSION", "ENDPOINT"});
  for (const Row& row : view.rows) table.add(cells(view, row));
  const std::string text = table.text();
  for (size_t at = 0, row = 0; at < text.size(); ++row) {
    const size_t stop = text.find('\n', at);
    Style style = row == 0 ? Style::titles : Style::plain;
    if (row > 0 && !view.rows[row - 1].facts.answered) style = Style::problem;
    lines.push_back({text.substr(at, stop - at), style});
    at = stop + 1;
  }
  if (!view.problems.empty()) lines.push_back({});
  for (size_t at = 0; at < std::min(view.problems.size(), kProblemsMax); ++at) {
    lines.push_back(
        {printable(std::string_view(view.problems[at]).substr(0, 300)), Style::problem});
  }
  if (view.problems.size() > kProblemsMax) {
    lines.push_back({"and " + std::to_string(view.problems.size() - kProblemsMax) + " more"});
  }
  if (size.rows > 0 && lines.size() > size.rows) {
    const size_t missing = lines.size() - size.rows + 1;
    lines.resize(size.rows - 1);
    lines.push_back({std::to_string(missing) + " lines more"});
  }
  for (Line& line : lines) line.text = cut(line.text, size.columns);
  return lines;
}

std::string json_of(const View& view) {
  std::string text =
      "{\"seconds\":" + number("%.3f", seconds(view.at)) + ",\"cluster\":" + json_id(view.cluster) +
      ",\"answering\":" + std::to_string(view.answering) + ",\"leader\":" + json_id(view.leader) +
      ",\"term\":" + std::to_string(view.term) + ",\"revision\":" + std::to_string(view.revision) +
      ",\"changes_per_second\":" + json_number(view.changes) +
      ",\"puts_per_second\":" + json_number(view.puts) + ",\"members\":[";
  for (size_t at = 0; at < view.rows.size(); ++at) {
    text += (at == 0 ? "" : ",") + json_of(view, view.rows[at]);
  }
  text += "],\"problems\":[";
  for (size_t at = 0; at < view.problems.size(); ++at) {
    text += (at == 0 ? "" : ",") + json_text(view.problems[at]);
  }
  return text + "]}";
}

}  // namespace quorate::app::top
