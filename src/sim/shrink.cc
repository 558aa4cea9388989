#include "sim/shrink.h"

#include <algorithm>

#include "sim/text.h"
#include "sim/world_settings.h"

namespace quorate::sim {
namespace {

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

// "n4" at this place of a word, as a position; moves behind it.
bool node_at(const std::string& word, size_t& place, uint64_t& node) {
  if (place + 1 >= word.size() || word[place] != 'n' || !is_digit(word[place + 1])) return false;
  node = static_cast<uint64_t>(word[place + 1] - '0') - 1;
  place += 2;
  return true;
}

// The word with nodes behind `gone` moved up; false when it speaks of `gone` itself.
bool renumber(std::string& word, uint64_t gone) {
  std::string result;
  for (size_t place = 0; place < word.size();) {
    uint64_t node = 0;
    const bool begins = place == 0 || word[place - 1] == '-' || word[place - 1] == '>';
    if (!begins || !node_at(word, place, node)) {
      result += word[place++];
      continue;
    }
    if (node == gone) return false;
    result += "n" + std::to_string(node > gone ? node : node + 1);
  }
  word = std::move(result);
  return true;
}

bool is_size(std::string_view setting) { return setting == "nodes" || setting == "spares"; }

// What a person would call one event of the story.
size_t actions_in(const Script& script) { return script.lines.size(); }

class Shrinker {
 public:
  Shrinker(const Script& script, const std::string& rule, const Judge& judge,
           const ShrinkLimits& limits)
      : judge_(judge), limits_(limits), rule_(kind_of_rule(rule)), best_(script) {}

  Shrunk run() {
    Shrunk result;
    result.actions_before = actions_in(best_);
    result.reproduced = attempt(best_);
    if (result.reproduced) {
      for (size_t before = SIZE_MAX; actions_in(best_) < before && !over();) {
        before = actions_in(best_);
        fewer_actions();
        fewer_nodes();
        calmer_world();
        shorter_times();
        join_proposals();
        report("a round ended with " + std::to_string(actions_in(best_)) + " actions");
      }
      round_times();
    }
    result.script = best_;
    result.violation = violation_;
    result.actions_after = actions_in(best_);
    result.runs = runs_;
    return result;
  }

 private:
  bool over() const {
    return runs_ >= limits_.runs_max || (limits_.out_of_time && limits_.out_of_time());
  }
  void report(const std::string& text) const {
    if (limits_.report) limits_.report(text);
  }

  // Keeps the candidate if it breaks the same rule. What comes after that moment is dropped.
  bool attempt(Script candidate) {
    if (over() && runs_ != 0) return false;
    ++runs_;
    const Verdict verdict = judge_(candidate);
    if (verdict.violation.empty() || kind_of_rule(verdict.violation) != rule_) return false;
    const bool in_time = verdict.time != 0 && verdict.time < candidate.until;
    if (in_time) {
      candidate.until = verdict.time + 1;
      std::erase_if(candidate.lines,
                    [&](const ScriptLine& line) { return line.from > verdict.time; });
    }
    best_ = std::move(candidate);
    violation_ = verdict.violation;
    return true;
  }

  // Chunks from half of all down to single lines; each size until nothing more goes.
  void fewer_actions() {
    for (size_t chunk = std::max<size_t>(best_.lines.size() / 2, 1); !over(); chunk /= 2) {
      // From the end: what happened last is most often needed, what led there less.
      size_t kept = 0;
      while (best_.lines.size() > kept && !over()) {
        const size_t end = best_.lines.size() - kept;
        const size_t size = std::min(chunk, end);
        Script candidate = best_;
        const auto first = candidate.lines.begin() + static_cast<std::ptrdiff_t>(end - size);
        candidate.lines.erase(first, first + static_cast<std::ptrdiff_t>(size));
        if (!attempt(std::move(candidate))) kept += size;
      }
      report(std::to_string(best_.lines.size()) + " actions, " + std::to_string(runs_) + " runs");
      if (chunk == 1) return;
    }
  }

  void fewer_nodes() {
    for (uint64_t node = best_.world.nodes + best_.world.spares; node-- > 0 && !over();) {
      if (node < best_.world.nodes && best_.world.nodes == 1) return;
      attempt(without_node(best_, node));
    }
  }

  void calmer_world() {
    const Swarm calm = scenario_world();
    for (const Setting& setting : world_settings()) {
      const int64_t value = setting.get(calm);
      if (is_size(setting.name) || setting.get(best_.world) == value) continue;
      Script candidate = best_;
      setting.set(candidate.world, value);
      if (world_problem(candidate.world).empty()) attempt(std::move(candidate));
      if (over()) return;
    }
  }

  // Takes time out of the pauses between actions, half of each at first.
  void shorter_times() {
    for (size_t place = 0; place <= best_.lines.size() && !over(); ++place) {
      for (int tries = 0; tries < 4; ++tries) {
        const int64_t before = place == 0 ? 0 : best_.lines[place - 1].from;
        const int64_t here = place < best_.lines.size() ? best_.lines[place].from : best_.until;
        const int64_t gain = (here - before) / 2;
        if (gain < best_.world.heartbeat_interval) break;
        Script candidate = best_;
        for (size_t later = place; later < candidate.lines.size(); ++later) {
          candidate.lines[later].from -= gain;
        }
        candidate.until -= gain;
        if (!attempt(std::move(candidate))) break;
      }
    }
  }

  // Proposals at one node, one right after the other, become one line.
  void join_proposals() {
    for (size_t place = 0; place + 1 < best_.lines.size() && !over();) {
      const auto& here = best_.lines[place].words;
      const auto& next = best_.lines[place + 1].words;
      const auto plain = [](const std::vector<std::string>& words) {
        return words.size() == 4 && words[0] == "propose" && words[2] != "as";
      };
      int64_t count = 0;
      int64_t more = 0;
      const bool both = plain(here) && plain(next) && here[1] == next[1] &&
                        read_number(here[2], count) && read_number(next[2], more);
      if (both) {
        Script candidate = best_;
        candidate.lines[place].words[2] = std::to_string(count + more);
        candidate.lines.erase(candidate.lines.begin() + static_cast<std::ptrdiff_t>(place) + 1);
        if (attempt(std::move(candidate))) continue;
      }
      ++place;
    }
  }

  // Whole milliseconds are easier to read: all at once, or line by line.
  void round_times() {
    const auto rounded = [](int64_t time) { return time / kMillisecond * kMillisecond; };
    Script candidate = best_;
    for (ScriptLine& line : candidate.lines) line.from = rounded(line.from);
    if (attempt(std::move(candidate))) return;
    for (size_t place = 0; place < best_.lines.size() && !over(); ++place) {
      if (rounded(best_.lines[place].from) == best_.lines[place].from) continue;
      candidate = best_;
      candidate.lines[place].from = rounded(candidate.lines[place].from);
      attempt(std::move(candidate));
    }
  }

  const Judge& judge_;
  const ShrinkLimits& limits_;
  std::string rule_;
  Script best_;
  std::string violation_;
  uint64_t runs_ = 0;
};

}  // namespace

Shrunk shrink(const Script& script, const std::string& rule, const Judge& judge,
              const ShrinkLimits& limits) {
  return Shrinker(script, rule, judge, limits).run();
}

std::string kind_of_rule(const std::string& violation) {
  // Which promise the healed cluster does not keep first is chance.
  if (violation.find("healed for") != std::string::npos) return "does not recover";
  const std::string text = violation.substr(0, violation.find("; "));
  std::string kind;
  for (const char letter : text) {
    if (!is_digit(letter)) {
      kind += letter;
    } else if (kind.empty() || kind.back() != '#') {
      kind += '#';
    }
  }
  return kind;
}

bool is_own_expectation(const std::string& violation) {
  return violation.find(": scenario ") != std::string::npos;
}

Script without_node(const Script& script, uint64_t node) {
  Script smaller = script;
  smaller.lines.clear();
  --(node < script.world.nodes ? smaller.world.nodes : smaller.world.spares);
  for (ScriptLine line : script.lines) {
    const std::string verb = line.words[0];
    const bool links = verb == "cut" || verb == "mend";
    const bool change = verb == "change";
    bool stays = true;
    std::vector<std::string> words;
    for (std::string& word : line.words) {
      if (renumber(word, node)) {
        words.push_back(std::move(word));
      } else if ((!links && !change) || (change && words.size() == 1)) {
        stays = false;
      }
    }
    if (!stays || (links && words.size() == 1)) continue;
    line.words = std::move(words);
    smaller.lines.push_back(std::move(line));
  }
  return smaller;
}

}  // namespace quorate::sim
