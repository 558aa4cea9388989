#include "sim/script.h"

#include <algorithm>

#include "sim/text.h"
#include "sim/world_settings.h"

namespace quorate::sim {
namespace {

constexpr size_t kLinesMax = 100'000;
constexpr size_t kWordsMax = 80;                 // "cut" may list every pair of seven nodes
constexpr int64_t kTimeMax = 100'000 * kSecond;  // more than a day
constexpr uint64_t kRepeatsMax = 1'000'000;
constexpr int64_t kSeedsMax = 10'000;
constexpr std::pair<const char*, StoryDetail> kDetails[] = {
    {"off", StoryDetail::off}, {"roles", StoryDetail::roles}, {"logs", StoryDetail::logs}};

// "at T verb..." or "every M from T to U verb...", times in milliseconds.
bool parse_times(std::vector<std::string>& words, ScriptLine& line) {
  const auto time = [](const std::string& word, int64_t& value) {
    return read_decimal(word, kMillisecond, value) && value <= kTimeMax;
  };
  if (words.size() > 2 && words[0] == "at" && time(words[1], line.from)) {
    words.erase(words.begin(), words.begin() + 2);
    return true;
  }
  if (words.size() > 6 && words[0] == "every" && time(words[1], line.every) && line.every > 0 &&
      words[2] == "from" && time(words[3], line.from) && words[4] == "to" &&
      time(words[5], line.to) && line.to >= line.from) {
    words.erase(words.begin(), words.begin() + 6);
    return static_cast<uint64_t>((line.to - line.from) / line.every) <= kRepeatsMax;
  }
  return false;
}

// Nothing happens by itself: timers fire when a line says so, messages and disks take their time
// to the microsecond. One seed tells all.
void set_by_hand(Script& script) {
  script.world.election_timeout = 100 * kSecond;
  script.world.heartbeat_interval = 50 * kSecond;
  script.world.start_spread = 0;
  script.world.network.latency_min = script.world.network.latency_max = kMillisecond;
  script.world.disk_min = script.world.disk_max = kMillisecond / 10;
  script.world.persist_interval = kTimeMax;
  script.linger = 20 * kMillisecond;
  script.story = StoryDetail::logs;
  script.seeds = 1;
}

// "consensus any", or names.
bool set_protocols(const std::vector<std::string>& words, Script& script) {
  script.protocols.clear();
  if (words.size() == 2 && words[1] == "any") {
    script.protocols.assign(std::begin(consensus::kProtocols), std::end(consensus::kProtocols));
    return true;
  }
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    const auto protocol = consensus::protocol_named(*word);
    if (!protocol || is_for(script, *protocol)) return false;
    script.protocols.push_back(*protocol);
  }
  return !script.protocols.empty();
}

std::string protocols_text(const Script& script) {
  if (script.protocols == Script{}.protocols) return {};
  std::string text = "consensus";
  for (const consensus::Protocol protocol : script.protocols) {
    text += " " + std::string(consensus::name_of(protocol));
  }
  return text + "\n";
}

bool parse_setting(const std::vector<std::string>& words, Script& script) {
  if (words[0] == "finds") {
    script.finds.insert(script.finds.end(), words.begin() + 1, words.end());
    return script.finds.size() <= kWordsMax;
  }
  if (words[0] == "consensus") return set_protocols(words, script);
  if (words.size() != 2) return false;
  int64_t value = 0;
  if (words[0] == "seeds") {
    if (!read_decimal(words[1], 1, value) || value < 1 || value > kSeedsMax) return false;
    script.seeds = static_cast<uint64_t>(value);
    return true;
  }
  if (words[0] == "first_seed") {
    if (!read_decimal(words[1], 1, value)) return false;
    script.first_seed = static_cast<uint64_t>(value);
    return true;
  }
  if (words[0] == "until_ms") {
    return read_decimal(words[1], kMillisecond, script.until) && script.until <= kTimeMax;
  }
  if (words[0] == "linger_ms") {
    return read_decimal(words[1], kMillisecond, script.linger) && script.linger <= kTimeMax;
  }
  if (words[0] == "story") {
    for (const auto& [name, detail] : kDetails) {
      if (words[1] != name) continue;
      script.story = detail;
      return true;
    }
    return false;
  }
  if (words[0] == "timers" && words[1] == "by_hand") {
    set_by_hand(script);
    return true;
  }
  return set_world(script.world, words[0], words[1]);
}

}  // namespace

Result<Script> parse_script(std::string name, std::string_view text) {
  Script script;
  script.name = std::move(name);
  script.world = scenario_world();
  const auto refuse = [&](const std::string& why) -> Result<Script> {
    return fail(ErrorKind::invalid, script.name + why + "; see tests/scenarios/README.md");
  };
  if (text.size() > kScriptBytesMax) return refuse(": longer than any scenario may be");
  for (uint64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::vector<std::string> words = words_of(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (words.empty()) continue;
    const std::string place = ":" + std::to_string(number) + ": ";
    if (words.size() > kWordsMax) return refuse(place + "too many words");
    ScriptLine line;
    line.number = number;
    if (parse_times(words, line)) {
      if (!is_action(words)) return refuse(place + "no such action: " + joined(words));
      if (script.lines.size() == kLinesMax) return refuse(place + "too many lines");
      line.words = std::move(words);
      script.lines.push_back(std::move(line));
    } else if (!parse_setting(words, script)) {
      return refuse(place + "neither a setting nor \"at T ...\" nor \"every M from T to U ...\"");
    }
  }
  const std::string problem = world_problem(script.world);
  if (!problem.empty()) return refuse(": " + problem);
  return script;
}

std::string text_of(const ScriptLine& line) {
  const auto time = [](int64_t value) { return decimal_of(value, kMillisecond); };
  if (line.every == 0) return "at " + time(line.from) + " " + joined(line.words);
  return "every " + time(line.every) + " from " + time(line.from) + " to " + time(line.to) + " " +
         joined(line.words);
}

bool is_for(const Script& script, consensus::Protocol protocol) {
  return std::ranges::find(script.protocols, protocol) != script.protocols.end();
}

std::string text_of(const Script& script) {
  std::string text = protocols_text(script) + world_text(script.world);
  if (!script.finds.empty()) text += "finds " + joined(script.finds) + "\n";
  if (script.seeds != Script{}.seeds) text += "seeds " + std::to_string(script.seeds) + "\n";
  if (script.first_seed != 1) text += "first_seed " + std::to_string(script.first_seed) + "\n";
  if (script.until != 0) text += "until_ms " + decimal_of(script.until, kMillisecond) + "\n";
  if (script.linger != 0) text += "linger_ms " + decimal_of(script.linger, kMillisecond) + "\n";
  for (const auto& [name, detail] : kDetails) {
    if (script.story == detail && detail != Script{}.story) {
      text += std::string("story ") + name + "\n";
    }
  }
  for (const ScriptLine& line : script.lines) text += text_of(line) + "\n";
  return text;
}

}  // namespace quorate::sim
