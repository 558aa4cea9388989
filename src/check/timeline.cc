#include "check/timeline.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "check/describe.h"
#include "check/words.h"

namespace quorate::check {
namespace {

constexpr size_t kLabelMax = 34;  // characters
constexpr int kCharacterWidth = 7;
constexpr int kLabelPadding = 16;
constexpr int kStep = 16;  // between two events at least
constexpr int kLaneHeight = 34;
constexpr int kBarHeight = 24;
constexpr int kLeft = 110;  // names of the lanes
constexpr int kTop = 26;    // times
constexpr int kTimeWidth = 110;

std::string number(int value) { return std::to_string(value); }

// Characters, not bytes; texts are well-formed UTF-8 here.
size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char each) {
    return (static_cast<unsigned char>(each) & 0xc0) != 0x80;
  }));
}

std::string cut(const std::string& text) {
  if (characters(text) <= kLabelMax) return text;
  size_t end = 0;
  for (size_t seen = 0; seen < kLabelMax; ++end) {
    seen += (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 ? 1 : 0;
  }
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "\xe2\x80\xa6";
}

struct Bar {
  std::string lane;
  uint32_t process = 0;
  Place from = 0;
  Place to = kOpen;  // equal to `from`: a point in time
  Time from_at;
  std::string kind;  // style classes
  std::string label;
  std::string title;
  int left = 0;
  int right = 0;
  size_t row = 0;
};

class Drawing {
 public:
  Drawing(const History& history, const TimelineParts& parts) : history_(history) {
    const bool one_key = only_key(parts);
    for (const uint32_t each : parts.operations) {
      add_operation(each, contains(parts.marked_operations, each), !one_key);
      if (each == parts.wrong) bars_.back().kind += " wrong";
    }
    for (const uint32_t each : parts.watch_replies) {
      add_reply(each, contains(parts.marked_replies, each));
    }
    place_in_time();
    place_in_lanes();
  }

  std::string svg() const {
    const int height = kTop + static_cast<int>(rows_) * kLaneHeight + 8;
    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width_) +
                      "\" height=\"" + number(height) + "\" role=\"img\">\n";
    for (const auto& [lane, rows] : lanes_) draw_lane(lane, rows, out);
    draw_times(height, out);
    for (const Bar& bar : bars_) draw(bar, out);
    return out + "</svg>\n";
  }

 private:
  static bool contains(const std::vector<uint32_t>& all, uint32_t value) {
    return std::find(all.begin(), all.end(), value) != all.end();
  }

  bool only_key(const TimelineParts& parts) const {
    std::set<TextId> keys;
    for (const uint32_t each : parts.operations) {
      const Operation& operation = history_.operations()[each];
      for (const Step& step : history_.steps(operation.then)) {
        keys.insert(step.key);
        if (step.end != 0) return false;
      }
      for (const Comparison& each_condition : history_.conditions(operation)) {
        keys.insert(each_condition.key);
      }
    }
    return keys.size() <= 1 && parts.watch_replies.empty();
  }

  void add_operation(uint32_t index, bool marked, bool with_key) {
    const Operation& operation = history_.operations()[index];
    Bar bar;
    bar.process = operation.process;
    bar.lane = "process " + std::to_string(operation.process);
    bar.from = operation.invoked;
    bar.to = operation.returned;
    bar.from_at = operation.invoked_at;
    const std::span<const Step> steps = history_.steps(operation.then);
    bar.kind = operation.transaction           ? "txn"
               : steps[0].verb == Verb::get    ? "get"
               : steps[0].verb == Verb::erase  ? "delete"
               : steps[0].verb <= Verb::append ? "put"
                                               : "other";
    if (operation.outcome == Outcome::failed) bar.kind = "failed";
    if (operation.outcome == Outcome::unknown) bar.kind += " unknown";
    bar.kind += marked ? " marked" : " around";
    bar.label = cut(short_label(history_, operation, with_key));
    bar.title = show_operation(history_, operation);
    bars_.push_back(std::move(bar));
  }

  void add_reply(uint32_t index, bool marked) {
    const WatchReply& reply = history_.watch_replies()[index];
    const Watch& watch = history_.watches()[reply.watch];
    Bar bar;
    bar.process = watch.process;
    bar.lane = "watch " + std::to_string(watch.number);
    bar.from = bar.to = reply.place;
    bar.from_at = reply.at;
    bar.kind = marked ? "watch marked" : "watch around";
    if (reply.kind == WatchReplyKind::created) bar.label = "created";
    if (reply.kind == WatchReplyKind::ended) bar.label = "ended";
    if (reply.kind == WatchReplyKind::progress) bar.label = "progress";
    if (reply.revision > 0 && reply.kind != WatchReplyKind::delivered) {
      bar.label += " @" + std::to_string(reply.revision);
    }
    bar.title = "watch " + std::to_string(watch.number) + " at " + show_time(history_, reply.at) +
                ": " + bar.label;
    for (const Change& change : history_.changes(reply)) {
      const std::string shown =
          (change.erased ? "delete " : "") + show_text(history_, change.item.key) +
          (change.erased ? "" : "=" + show_text(history_, change.item.value)) + "@" +
          std::to_string(change.item.mod);
      bar.label += (bar.label.empty() ? "" : ", ") + shown;
      bar.title += (change.erased ? "\ndelete " : "\nput ") + show_item(history_, change.item);
    }
    bar.label = cut(bar.label);
    bars_.push_back(std::move(bar));
  }

  // Events in their order, each to the right of the one before, an end right enough for the label.
  void place_in_time() {
    struct Event {
      Place place = 0;
      size_t bar = 0;
      bool ends = false;
    };
    std::vector<Event> events;
    for (size_t i = 0; i < bars_.size(); ++i) {
      events.push_back({bars_[i].from, i, false});
      if (bars_[i].to != kOpen) events.push_back({bars_[i].to, i, true});
    }
    std::stable_sort(events.begin(), events.end(), [](const Event& left, const Event& right) {
      return left.place < right.place;
    });
    int x = kLeft;
    for (const Event& event : events) {
      Bar& bar = bars_[event.bar];
      if (!event.ends) {
        x += kStep;
        bar.left = x;
      } else {
        x = std::max(x + kStep, bar.left + label_width(bar));
        bar.right = x;
      }
    }
    width_ = x + 60;
    for (const Bar& bar : bars_) width_ = std::max(width_, bar.left + label_width(bar) + 30);
    for (Bar& bar : bars_) {
      if (bar.to == kOpen) bar.right = width_ - 4;
    }
  }
  static int label_width(const Bar& bar) {
    return static_cast<int>(characters(bar.label)) * kCharacterWidth + kLabelPadding;
  }

  // Bars of a lane that overlap get rows of their own.
  void place_in_lanes() {
    std::map<std::pair<uint32_t, std::string>, std::vector<Bar*>> lanes;
    for (Bar& bar : bars_) lanes[{bar.process, bar.lane}].push_back(&bar);
    for (auto& [name, bars] : lanes) {
      std::sort(bars.begin(), bars.end(),
                [](const Bar* left, const Bar* right) { return left->left < right->left; });
      std::vector<int> ends;
      for (Bar* bar : bars) {
        size_t row = 0;
        while (row < ends.size() && ends[row] >= bar->left) ++row;
        if (row == ends.size()) ends.push_back(0);
        ends[row] = std::max(bar->right, bar->left + label_width(*bar));
        bar->row = rows_ + row;
      }
      lanes_.emplace_back(name.second, std::pair(rows_, ends.size()));
      rows_ += ends.size();
    }
  }

  void draw_lane(const std::string& lane, std::pair<size_t, size_t> rows, std::string& out) const {
    const int y = kTop + static_cast<int>(rows.first) * kLaneHeight;
    const int height = static_cast<int>(rows.second) * kLaneHeight;
    out += "<rect class=\"lane\" x=\"0\" y=\"" + number(y + 1) + "\" width=\"" + number(width_) +
           "\" height=\"" + number(height - 2) + "\"/><text class=\"name\" x=\"8\" y=\"" +
           number(y + 21) + "\">" + escape_html(lane) + "</text>\n";
  }

  // The time of a call now and then, as far as they fit.
  void draw_times(int height, std::string& out) const {
    std::vector<const Bar*> sorted;
    for (const Bar& bar : bars_) sorted.push_back(&bar);
    std::sort(sorted.begin(), sorted.end(),
              [](const Bar* left, const Bar* right) { return left->left < right->left; });
    int next = 0;
    for (const Bar* bar : sorted) {
      if (bar->left < next) continue;
      next = bar->left + kTimeWidth;
      out += "<line class=\"time\" x1=\"" + number(bar->left) + "\" x2=\"" + number(bar->left) +
             "\" y1=\"18\" y2=\"" + number(height) + "\"/><text class=\"time\" x=\"" +
             number(bar->left) + "\" y=\"14\">" + escape_html(show_time(history_, bar->from_at)) +
             "</text>\n";
    }
  }

  void draw(const Bar& bar, std::string& out) const {
    const int y = kTop + static_cast<int>(bar.row) * kLaneHeight + (kLaneHeight - kBarHeight) / 2;
    out += "<g class=\"" + bar.kind + "\"><title>" + escape_html(bar.title) + "</title>";
    if (bar.from == bar.to) {
      out += "<line class=\"point\" x1=\"" + number(bar.left) + "\" x2=\"" + number(bar.left) +
             "\" y1=\"" + number(y) + "\" y2=\"" + number(y + kBarHeight) + "\"/>";
    } else {
      out += "<rect x=\"" + number(bar.left) + "\" y=\"" + number(y) + "\" width=\"" +
             number(bar.right - bar.left) + "\" height=\"" + number(kBarHeight) + "\" rx=\"5\"/>";
    }
    out += "<text x=\"" + number(bar.left + 8) + "\" y=\"" + number(y + 16) + "\">" +
           escape_html(bar.label) + "</text></g>\n";
  }

  const History& history_;
  std::vector<Bar> bars_;
  std::vector<std::pair<std::string, std::pair<size_t, size_t>>> lanes_;  // first row, rows
  size_t rows_ = 0;
  int width_ = 0;
};

std::string short_step(const History& history, const Operation& operation, const Step& step,
                       bool with_key) {
  std::string text(word_of(kVerbWords, step.verb));
  if (step.verb > Verb::erase) return show_call(history, operation);
  if (with_key) text += " " + show_text(history, step.key) + (step.end != 0 ? ".." : "");
  if (step.verb == Verb::put || step.verb == Verb::append) {
    text += (with_key ? "=" : " ") + show_text(history, step.value);
  }
  return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char each : text) {
    if (each == '&') {
      out += "&amp;";
    } else if (each == '<') {
      out += "&lt;";
    } else if (each == '>') {
      out += "&gt;";
    } else if (each == '"') {
      out += "&quot;";
    } else {
      out += each;
    }
  }
  return out;
}

std::string short_label(const History& history, const Operation& operation, bool with_key) {
  const std::span<const Step> steps = history.steps(operation.then);
  std::string text;
  const std::string arrow = " \xe2\x86\x92 ";
  if (operation.transaction) {
    const std::span<const Comparison> conditions = history.conditions(operation);
    text = "cas ";
    if (!conditions.empty()) {
      if (with_key) text += show_text(history, conditions[0].key) + " ";
      text += conditions[0].target == Target::value
                  ? show_text(history, conditions[0].value)
                  : std::string(word_of(kTargetWords, conditions[0].target)) +
                        std::string(word_of(kRelationWords, conditions[0].relation)) +
                        std::to_string(conditions[0].number);
    }
    if (!steps.empty() && steps[0].verb == Verb::put) {
      text += arrow + show_text(history, steps[0].value);
    }
    if (operation.outcome == Outcome::ok)
      text += operation.succeeded ? " \xe2\x9c\x93" : " \xe2\x9c\x97";
  } else {
    text = short_step(history, operation, steps[0], with_key);
    const bool shows = steps[0].verb == Verb::get && operation.outcome == Outcome::ok;
    if (shows) {
      std::string answer = show_answer(history, operation);
      if (const size_t at = answer.rfind(" at revision "); at != std::string::npos) {
        answer.resize(at);
      }
      text += arrow + answer;
    }
  }
  if (operation.outcome == Outcome::ok && operation.revision != kNotRecorded) {
    text += " @" + std::to_string(operation.revision);
  }
  if (operation.outcome == Outcome::unknown) text += " ?";
  return text;
}

std::string timeline_svg(const History& history, const TimelineParts& parts) {
  return Drawing(history, parts).svg();
}

}  // namespace quorate::check
