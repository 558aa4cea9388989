#include "check/picture.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check/describe.h"
#include "check/timeline.h"

namespace quorate::check {
namespace {

constexpr size_t kFindingsShownMax = 10;
constexpr size_t kAroundMax = 40;     // operations beside a contradiction
constexpr size_t kAllShownMax = 400;  // operations of a history without a contradiction

constexpr std::string_view kStyle = R"(
:root { --ink: #1c2330; --soft: #667085; --page: #f6f7f9; --card: #fff; --line: #e3e7ed;
  --lane: #f3f5f8; --bad: #c8322b; --good: #1f7a43; --doubt: #946200;
  --get: #dbe8fb; --put: #d9f0df; --delete: #fbe3d2; --txn: #e7e0fa; --other: #e6e9ee; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --page: #14171c;
  --card: #1c2128; --line: #2d343e; --lane: #222831; --bad: #ff7a70; --good: #63c98b;
  --doubt: #e2b04a; --get: #24405f; --put: #1f4a31; --delete: #5a3a24; --txn: #40356b;
  --other: #39414d; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1400px; margin: 0 auto; }
h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 6px; }
.badge { display: inline-block; padding: 2px 12px; border-radius: 99px; color: #fff;
  font-weight: 600; }
.no { background: #c8322b; } .yes { background: #1f7a43; } .undecided { background: #946200; }
.facts { color: var(--soft); margin: 8px 0 20px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 20px; }
.card p { margin: 0 0 12px; max-width: 110ch; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
.legend { color: var(--soft); font-size: 13px; margin: 8px 0 0; }
svg { display: block; }
svg text { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; fill: var(--ink); }
svg text.name { fill: var(--soft); font-family: system-ui, sans-serif; }
svg text.time { fill: var(--soft); font-size: 10px; }
svg line.time { stroke: var(--line); stroke-dasharray: 2 3; }
svg .lane { fill: var(--lane); }
g rect { stroke: transparent; stroke-width: 1.5; }
g.get rect { fill: var(--get); } g.put rect { fill: var(--put); }
g.delete rect { fill: var(--delete); } g.txn rect { fill: var(--txn); }
g.other rect { fill: var(--other); }
g.failed rect { fill: none; stroke: var(--soft); stroke-dasharray: 3 3; }
g.unknown rect { stroke: var(--soft); stroke-dasharray: 5 4; }
g .point { stroke: var(--soft); stroke-width: 3; }
g.around { opacity: .6; }
g.marked rect { stroke: var(--bad); stroke-width: 2.5; stroke-dasharray: none; }
g.marked.unknown rect { stroke-dasharray: 6 4; }
g.wrong rect { fill: var(--bad); }
g.wrong text { fill: var(--card); }
g.marked text { font-weight: 700; }
g.marked .point { stroke: var(--bad); stroke-width: 4; }
)";

class Page {
 public:
  Page(const History& history, const Verdict& verdict) : history_(history), verdict_(verdict) {}

  std::string html(std::string_view name) const {
    std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">";
    out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>" +
           escape_html(name) + "</title><style>";
    out += kStyle;
    out += "</style></head><body><main>\n<h1>" + escape_html(name) + "</h1>\n";
    add_summary(out);
    const size_t shown = std::min(verdict_.findings.size(), kFindingsShownMax);
    for (size_t i = 0; i < shown; ++i) add_finding(verdict_.findings[i], out);
    const uint64_t hidden = verdict_.findings.size() - shown + verdict_.findings_left_out;
    if (hidden != 0) out += "<p>" + counted(hidden, "more finding") + " not drawn.</p>\n";
    if (verdict_.findings.empty()) add_overview(out);
    return out + "</main></body></html>\n";
  }

 private:
  void add_summary(std::string& out) const {
    const char* style = "undecided";
    const char* words = "cannot tell";
    if (verdict_.linearizable == Decision::yes) {
      style = "yes";
      words = "linearizable";
    } else if (verdict_.linearizable == Decision::no) {
      style = "no";
      words = "violation";
    }
    out += std::string("<span class=\"badge ") + style + "\">" + words + "</span>";
    out += "<p class=\"facts\">Model " + verdict_.model + " &middot; " +
           counted(verdict_.operations, "operation") + ", of these " +
           std::to_string(verdict_.unknown) + " of unknown outcome and " +
           std::to_string(verdict_.failed) + " surely not applied &middot; " +
           counted(verdict_.keys, "key");
    if (verdict_.watches != 0) out += " &middot; " + std::to_string(verdict_.watches) + " watches";
    out += "</p>\n";
    if (!verdict_.why_undecided.empty()) {
      out += "<div class=\"card\"><p>" + escape_html(verdict_.why_undecided) + "</p></div>\n";
    }
  }

  void add_finding(const Finding& finding, std::string& out) const {
    out += "<div class=\"card\"><h2>" + escape_html(finding.rule) + "</h2><p>" +
           escape_html(finding.words) + "</p>\n";
    TimelineParts parts;
    parts.marked_operations = finding.operations;
    parts.marked_replies = finding.watch_replies;
    parts.wrong = finding.wrong;
    parts.operations = with_neighbours(finding);
    parts.watch_replies = with_neighbouring_replies(finding);
    if (!parts.operations.empty() || !parts.watch_replies.empty()) add_drawing(parts, true, out);
    out += "</div>\n";
  }

  void add_drawing(const TimelineParts& parts, bool marked, std::string& out) const {
    out += "<div class=\"scroll\">" + timeline_svg(history_, parts) + "</div>";
    out += "<p class=\"legend\">";
    if (marked) {
      out +=
          "Framed: the contradiction; filled: the answer that cannot be. Pale: what else happened "
          "to the same keys at that time. ";
    }
    out +=
        "Dashed: unknown outcome, may take effect at any later time. @: revision. Time runs to "
        "the right in the order of events, not to scale; point at a bar for all of it.</p>\n";
  }

  std::set<TextId> keys_of(const Operation& operation) const {
    std::set<TextId> keys;
    for (const Span branch : {operation.then, operation.otherwise}) {
      for (const Step& step : history_.steps(branch)) keys.insert(step.key);
    }
    for (const Comparison& each : history_.conditions(operation)) keys.insert(each.key);
    return keys;
  }

  // Operations on the same keys that overlap the contradiction's time, the nearest to its end.
  std::vector<uint32_t> with_neighbours(const Finding& finding) const {
    std::vector<uint32_t> all = finding.operations;
    if (all.empty()) return all;
    std::set<TextId> keys;
    Place first = kOpen;
    Place last = 0;
    for (const uint32_t each : finding.operations) {
      const Operation& operation = history_.operations()[each];
      keys.merge(keys_of(operation));
      first = std::min(first, operation.invoked);
      last = std::max(last, operation.returned == kOpen ? operation.invoked : operation.returned);
    }
    std::vector<uint32_t> around;
    for (uint32_t i = 0; i < history_.operations().size(); ++i) {
      const Operation& operation = history_.operations()[i];
      if (operation.invoked > last) break;
      const bool ends_before = operation.returned < first;
      if (ends_before || std::count(all.begin(), all.end(), i) != 0) continue;
      const std::set<TextId> own = keys_of(operation);
      const bool shared =
          std::any_of(own.begin(), own.end(), [&keys](TextId key) { return keys.contains(key); });
      if (shared) around.push_back(i);
    }
    if (around.size() > kAroundMax) {
      around.erase(around.begin(), around.end() - static_cast<ptrdiff_t>(kAroundMax));
    }
    all.insert(all.end(), around.begin(), around.end());
    std::sort(all.begin(), all.end());
    return all;
  }

  // A watch's answers before and after the marked one.
  std::vector<uint32_t> with_neighbouring_replies(const Finding& finding) const {
    constexpr ptrdiff_t kBeside = 3;
    std::set<uint32_t> all;
    for (const uint32_t marked : finding.watch_replies) {
      const Watch& watch = history_.watches()[history_.watch_replies()[marked].watch];
      const auto place = std::find(watch.replies.begin(), watch.replies.end(), marked);
      const auto first = place - std::min(kBeside, place - watch.replies.begin());
      const auto last = place + std::min(kBeside, watch.replies.end() - place);
      all.insert(first, last);
    }
    return {all.begin(), all.end()};
  }

  void add_overview(std::string& out) const {
    TimelineParts parts;
    const size_t shown = std::min(history_.operations().size(), kAllShownMax);
    for (uint32_t i = 0; i < shown; ++i) parts.operations.push_back(i);
    parts.marked_operations = {};
    if (shown == 0) return;
    out += "<div class=\"card\"><h2>";
    out += shown < history_.operations().size() ? "The first " + counted(shown, "operation")
                                                : "All operations";
    out += "</h2>\n";
    add_drawing(parts, false, out);
    out += "</div>\n";
  }

  const History& history_;
  const Verdict& verdict_;
};

}  // namespace

std::string picture_html(const History& history, const Verdict& verdict, std::string_view name) {
  return Page(history, verdict).html(name);
}

}  // namespace quorate::check
