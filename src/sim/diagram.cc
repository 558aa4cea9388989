#include "sim/diagram.h"

#include <algorithm>
#include <bit>
#include <map>

#include "sim/text.h"

namespace quorate::sim {
namespace {

constexpr size_t kHappeningsMax = 8'000;
constexpr int64_t kMillisecondLength = 1'000'000;
constexpr int64_t kMicrosecondLength = 1'000;
// All in pixels.
constexpr int64_t kLeft = 330;
constexpr int64_t kColumn = 190;
constexpr int64_t kTop = 46;
constexpr int64_t kTextHeight = 12;

std::string number(int64_t value) { return std::to_string(value); }

std::string escaped(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    switch (letter) {
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '&':
        result += "&amp;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += letter;
    }
  }
  return result;
}

// Neighbouring terms get colours far apart.
std::string colour_of(uint64_t term) {
  return "hsl(" + std::to_string(term * 137 % 360) + " 60% 62%)";
}

struct State {
  int64_t since = 0;
  std::string text;  // "leader term 3"; empty: down
};

class Picture {
 public:
  Picture(const std::vector<Happening>& happenings, uint64_t nodes)
      : happenings_(happenings), states_(nodes) {}

  std::string draw() {
    int64_t time = happenings_.empty() ? 0 : happenings_.front().time;
    for (const Happening& happening : happenings_) {
      const auto pause = static_cast<uint64_t>(happening.time - time) / kMicrosecondLength;
      if (happening.time != time) y_ += 4 + static_cast<int64_t>(std::bit_width(pause));
      time = happening.time;
      draw(happening);
    }
    y_ += 2 * kTextHeight;
    for (uint64_t node = 0; node < states_.size(); ++node) end_state(node);
    for (const auto& [sent, message] : open_) lose(message, "on its way");
    return frame();
  }

 private:
  struct Message {
    int64_t y = 0;
    uint64_t from = 0;
    uint64_t to = 0;
    std::string text;
  };

  static int64_t x_of(uint64_t node) { return kLeft + static_cast<int64_t>(node) * kColumn; }

  void draw(const Happening& happening) {
    switch (happening.kind) {
      case HappeningKind::sent:
        open_[happening.number] = {y_, happening.node, happening.peer, happening.text};
        return;
      case HappeningKind::received:
        return arrive(happening);
      case HappeningKind::lost:
        if (const auto found = open_.find(happening.number); found != open_.end()) {
          lose(found->second, "lost");
          open_.erase(found);
        }
        return;
      case HappeningKind::writes:
        return mark(happening, "w", "&#9633;", "begins write " + text_number(happening));
      case HappeningKind::durable:
        return mark(happening, "w", "&#9632;", "durable up to write " + text_number(happening));
      case HappeningKind::state:
        return change_state(happening);
      case HappeningKind::commits:
        return label(happening.node, "commit", "commits " + text_number(happening));
      case HappeningKind::started:
        return label(happening.node, "life", "starts");
      case HappeningKind::crashed:
        end_state(happening.node);
        return label(happening.node, "death", "&#10006; crash");
      case HappeningKind::wiped:
        return label(happening.node, "death", "&#10006; disk lost");
      case HappeningKind::paused:
        return label(happening.node, "death", "pause");
      case HappeningKind::resumed:
        return label(happening.node, "life", "goes on");
      case HappeningKind::action:
      case HappeningKind::violated:
        return line_of_text(happening);
    }
  }

  static std::string text_number(const Happening& happening) {
    return std::to_string(happening.number);
  }

  void arrive(const Happening& happening) {
    const auto found = open_.find(happening.number);
    if (found == open_.end()) return;  // a copy of what arrived before
    const Message& message = found->second;
    const std::string kind = kind_of(message.text);
    shapes_ += "<g class=\"m " + kind + "\"><title>" + escaped(message.text) + "</title>" +
               arrow(x_of(message.from), message.y, x_of(happening.node), y_, "url(#head)") +
               "</g>\n";
    open_.erase(found);
  }

  void lose(const Message& message, const std::string& how) {
    const int64_t from = x_of(message.from);
    const int64_t part = (x_of(message.to) - from) / 3;
    shapes_ += "<g class=\"m lost " + kind_of(message.text) + "\"><title>" + how + ": " +
               escaped(message.text) + "</title>" +
               arrow(from, message.y, from + part, message.y + 8, "url(#cross)") + "</g>\n";
  }

  static std::string arrow(int64_t x1, int64_t y1, int64_t x2, int64_t y2, const char* end) {
    return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
           "\" y2=\"" + number(y2) + "\" marker-end=\"" + end + "\"/>";
  }

  // Only for the reader's switches.
  static std::string kind_of(const std::string& text) {
    for (const char* word : {"heartbeat", "heard"}) {
      if (text.starts_with(word)) return "beat";
    }
    if (text.find("vote") != std::string::npos || text.starts_with("campaign")) return "vote";
    return text.starts_with("append") ? "append" : "reply";
  }

  void mark(const Happening& happening, const char* kind, const char* sign,
            const std::string& title) {
    shapes_ += std::string("<text class=\"") + kind + "\" x=\"" +
               number(x_of(happening.node) - 14) + "\" y=\"" + number(y_ + 4) + "\"><title>" +
               title + "</title>" + sign + "</text>\n";
  }

  // Labels of one node never cover each other.
  void label(uint64_t node, const char* kind, const std::string& text) {
    int64_t& free_from = labels_[node];
    const int64_t y = std::max(y_ + 4, free_from);
    free_from = y + kTextHeight;
    y_ = std::max(y_, y - 4);
    shapes_ += std::string("<text class=\"") + kind + "\" x=\"" + number(x_of(node) + 10) +
               "\" y=\"" + number(y) + "\">" + text + "</text>\n";
  }

  void line_of_text(const Happening& happening) {
    const bool broken = happening.kind == HappeningKind::violated;
    y_ += kTextHeight;
    const int64_t right = x_of(states_.size());
    shapes_ += std::string("<g class=\"") + (broken ? "broken" : "action") +
               "\"><text x=\"8\" y=\"" + number(y_ + 4) + "\">" +
               decimal_of(happening.time, kMillisecondLength) + " " + escaped(happening.text) +
               "</text><line x1=\"" + number(kLeft - 20) + "\" y1=\"" + number(y_) + "\" x2=\"" +
               number(right) + "\" y2=\"" + number(y_) + "\"/></g>\n";
    y_ += 4;
  }

  void change_state(const Happening& happening) {
    end_state(happening.node);
    states_[happening.node] = {y_, happening.text};
    label(happening.node, "role", escaped(happening.text));
  }

  void end_state(uint64_t node) {
    State& state = states_[node];
    if (!state.text.empty()) {
      const size_t space = state.text.rfind(' ');
      int64_t term = 0;
      if (!read_number(std::string_view(state.text).substr(space + 1), term)) term = 0;
      int64_t width = 4;
      if (state.text.starts_with("candidate")) width = 8;
      if (state.text.starts_with("leader")) width = 14;
      bands_ += "<rect x=\"" + number(x_of(node) - width / 2) + "\" y=\"" + number(state.since) +
                "\" width=\"" + number(width) + "\" height=\"" + number(y_ - state.since + 1) +
                "\" fill=\"" + colour_of(static_cast<uint64_t>(term)) + "\"><title>" +
                escaped(state.text) + "</title></rect>\n";
    }
    state = {};
  }

  std::string frame() const {
    const int64_t width = x_of(states_.size());
    std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) +
                      "\" height=\"" + number(y_ + 20) +
                      "\">\n<defs>"
                      "<marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" "
                      "markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">"
                      "<path d=\"M0 0 L8 4 L0 8 z\" fill=\"context-stroke\"/></marker>"
                      "<marker id=\"cross\" viewBox=\"0 0 8 8\" refX=\"4\" refY=\"4\" "
                      "markerWidth=\"8\" markerHeight=\"8\"><path d=\"M1 1 L7 7 M7 1 L1 7\" "
                      "stroke=\"#c00\" stroke-width=\"2\"/></marker></defs>\n";
    for (uint64_t node = 0; node < states_.size(); ++node) {
      const std::string x = number(x_of(node));
      svg += "<text class=\"name\" x=\"" + x + "\" y=\"24\">n" + std::to_string(node + 1) +
             "</text><line class=\"life-line\" x1=\"" + x + "\" y1=\"" + number(kTop - 14) +
             "\" x2=\"" + x + "\" y2=\"" + number(y_) + "\"/>\n";
    }
    return svg + bands_ + shapes_ + "</svg>\n";
  }

  const std::vector<Happening>& happenings_;
  std::vector<State> states_;
  std::map<uint64_t, Message> open_;
  std::map<uint64_t, int64_t> labels_;  // by node: the least free place below
  int64_t y_ = kTop;
  std::string bands_;
  std::string shapes_;
};

constexpr const char* kHead = R"(<style>
body { font: 13px sans-serif; margin: 12px; } pre { font-size: 12px; }
svg text { font: 10px sans-serif; } svg .name { font: bold 14px sans-serif; text-anchor: middle; }
.life-line { stroke: #999; stroke-dasharray: 2 4; }
.m line { stroke: #36c; stroke-width: 1.2; } .m.vote line { stroke: #b60; }
.m.beat line { stroke: #aaa; } .m.reply line { stroke: #393; }
.m.lost line { stroke-dasharray: 3 3; }
.m:hover line { stroke-width: 3; }
.action line { stroke: #ddd; } .action text { fill: #555; }
.broken line { stroke: #c00; stroke-width: 2; } .broken text { fill: #c00; font-weight: bold; }
.role { font-weight: bold !important; } .death { fill: #c00; } .commit { fill: #063; }
.w { fill: #555; }
.hide-beat .beat, .hide-w .w, .hide-vote .vote, .hide-append .append, .hide-reply .reply,
.hide-commit .commit { display: none; }
</style>
<p>Show:
<label><input type="checkbox" data-kind="beat"> heartbeats</label>
<label><input type="checkbox" data-kind="vote" checked> votes</label>
<label><input type="checkbox" data-kind="append" checked> appends</label>
<label><input type="checkbox" data-kind="reply" checked> their answers</label>
<label><input type="checkbox" data-kind="w" checked> writes (&#9633; begun, &#9632; durable)</label>
<label><input type="checkbox" data-kind="commit" checked> commits</label>.
The colour of a line is the term, its width the role; point at an arrow to read the message.</p>
)";
constexpr const char* kTail = R"(<script>
for (const box of document.querySelectorAll('input')) {
  const apply = () => document.body.classList.toggle('hide-' + box.dataset.kind, !box.checked);
  box.addEventListener('change', apply);
  apply();
}
</script>
)";

}  // namespace

void Diagram::saw(const Happening& happening) {
  happenings_.push_back(happening);
  if (happenings_.size() < 2 * kHappeningsMax) return;
  happenings_.erase(happenings_.begin(), happenings_.begin() + kHappeningsMax);
  left_out_ += kHappeningsMax;
}

std::string Diagram::html(const std::string& title, const std::string& text, uint64_t nodes) const {
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
                     escaped(title) + "</title></head><body>\n<h1>" + escaped(title) +
                     "</h1>\n<pre>" + escaped(text) + "</pre>\n" + kHead;
  if (left_out_ != 0) {
    page += "<p>" + std::to_string(left_out_) + " earlier happenings are left out.</p>\n";
  }
  return page + Picture(happenings_, nodes).draw() + kTail + "</body></html>\n";
}

}  // namespace quorate::sim
