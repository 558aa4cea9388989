#include "sim/script.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "sim/nemesis.h"

namespace quorate::sim {
namespace {

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream stream(line.substr(0, line.find('#')));
  std::string word;
  while (stream >> word) words.push_back(word);
  return words;
}

bool number_of(const std::string& word, int64_t& number) {
  if (word.empty() || word.size() > 15) return false;
  number = 0;
  for (const char digit : word) {
    if (digit < '0' || digit > '9') return false;
    number = number * 10 + (digit - '0');
  }
  return true;
}

// World settings: name, the field it sets, and the field's unit in a file.
struct Setting {
  const char* name;
  void (*set)(Swarm& world, int64_t value);
};
constexpr Setting kSettings[] = {
    {"nodes", [](Swarm& w, int64_t v) { w.nodes = static_cast<uint64_t>(v); }},
    {"spares", [](Swarm& w, int64_t v) { w.spares = static_cast<uint64_t>(v); }},
    {"leases", [](Swarm& w, int64_t v) { w.lease_reads = v != 0; }},
    {"drift_ppm", [](Swarm& w, int64_t v) { w.drift_max = static_cast<uint64_t>(v); }},
    {"election_timeout_ms", [](Swarm& w, int64_t v) { w.election_timeout = v * kMillisecond; }},
    {"heartbeat_ms", [](Swarm& w, int64_t v) { w.heartbeat_interval = v * kMillisecond; }},
    {"pre_vote", [](Swarm& w, int64_t v) { w.pre_vote = v != 0; }},
    {"check_quorum", [](Swarm& w, int64_t v) { w.check_quorum = v != 0; }},
    {"latency_min_us", [](Swarm& w, int64_t v) { w.network.latency_min = v * kMicrosecond; }},
    {"latency_max_us", [](Swarm& w, int64_t v) { w.network.latency_max = v * kMicrosecond; }},
    {"loss_ppm", [](Swarm& w, int64_t v) { w.network.loss = static_cast<uint64_t>(v); }},
    {"duplicate_ppm", [](Swarm& w, int64_t v) { w.network.duplicate = static_cast<uint64_t>(v); }},
    {"copies_max", [](Swarm& w, int64_t v) { w.network.copies_max = static_cast<uint64_t>(v); }},
    {"late_ppm", [](Swarm& w, int64_t v) { w.network.late = static_cast<uint64_t>(v); }},
    {"late_max_ms", [](Swarm& w, int64_t v) { w.network.late_max = v * kMillisecond; }},
    {"disk_min_us", [](Swarm& w, int64_t v) { w.disk_min = v * kMicrosecond; }},
    {"disk_max_us", [](Swarm& w, int64_t v) { w.disk_max = v * kMicrosecond; }},
    {"batching_ppm", [](Swarm& w, int64_t v) { w.batching = static_cast<uint64_t>(v); }},
    {"turn_max_us", [](Swarm& w, int64_t v) { w.turn_max = v * kMicrosecond; }},
    {"persist_ms", [](Swarm& w, int64_t v) { w.persist_interval = v * kMillisecond; }},
    {"snapshot_threshold",
     [](Swarm& w, int64_t v) { w.snapshot_threshold = static_cast<uint64_t>(v); }},
    {"snapshot_keep", [](Swarm& w, int64_t v) { w.snapshot_keep = static_cast<uint64_t>(v); }},
    {"tail_bytes", [](Swarm& w, int64_t v) { w.tail_bytes = static_cast<uint64_t>(v); }},
};

// "at T verb..." or "every M from T to U verb...", times in milliseconds.
bool parse_times(std::vector<std::string>& words, ScriptLine& line) {
  int64_t first = 0;
  int64_t every = 0;
  int64_t last = 0;
  if (words.size() > 2 && words[0] == "at" && number_of(words[1], first)) {
    line.from = first * kMillisecond;
    words.erase(words.begin(), words.begin() + 2);
    return true;
  }
  if (words.size() > 6 && words[0] == "every" && number_of(words[1], every) && every > 0 &&
      words[2] == "from" && number_of(words[3], first) && words[4] == "to" &&
      number_of(words[5], last)) {
    line.from = first * kMillisecond;
    line.every = every * kMillisecond;
    line.to = last * kMillisecond;
    words.erase(words.begin(), words.begin() + 6);
    return true;
  }
  return false;
}

bool parse_setting(const std::vector<std::string>& words, Script& script) {
  int64_t value = 0;
  if (words.size() != 2 || !number_of(words[1], value)) return false;
  if (words[0] == "seeds") {
    script.seeds = static_cast<uint64_t>(value);
    return true;
  }
  for (const Setting& setting : kSettings) {
    if (words[0] != setting.name) continue;
    setting.set(script.world, value);
    return true;
  }
  return false;
}

class Player {
 public:
  Player(Cluster& cluster, const Script& script, Rng rng)
      : cluster_(cluster), script_(script), clients_(cluster, rng) {}

  void run() {
    int64_t end = 0;
    for (const ScriptLine& line : script_.lines) {
      due_.push_back(line.from);
      end = std::max({end, line.from, line.to});
      cluster_.schedule(EventKind::script, line.from);
    }
    end += cluster_.swarm().election_timeout;
    cluster_.schedule(EventKind::check, end);
    while (!cluster_.failed() && cluster_.now() < end) {
      const Scheduled event = cluster_.advance();
      if (event.kind == EventKind::script) play_due();
      if (event.kind == EventKind::client && cluster_.now() < clients_until_) clients_.act();
    }
    cluster_.heal_everything();
  }

 private:
  // Lines of the same instant play in the order of the file.
  void play_due() {
    for (size_t position = 0; position < due_.size() && !cluster_.failed(); ++position) {
      if (due_[position] > cluster_.now()) continue;
      const ScriptLine& line = script_.lines[position];
      play(line);
      due_[position] = INT64_MAX;
      if (line.every == 0 || cluster_.now() + line.every > line.to) continue;
      due_[position] = cluster_.now() + line.every;
      cluster_.schedule(EventKind::script, line.every);
    }
  }

  void play(const ScriptLine& line) {
    if (cluster_.tracing()) {
      std::string text = "SCRIPT";
      for (const std::string& word : line.words) text += " " + word;
      cluster_.say(text);
    }
    if (act(line.words)) return;
    cluster_.oracles().violated(NodeId{}, "scenario " + script_.name + ", line " +
                                              std::to_string(line.number) + ": cannot be played");
  }

  bool node_of(const std::string& word, uint64_t& node) {
    if (const auto known = names_.find(word); known != names_.end()) {
      node = known->second;
      return true;
    }
    int64_t number = 0;
    if (word == "leader") {
      node = cluster_.leader();
    } else if (word == "another") {  // the first that has no name yet
      for (node = 0; node < cluster_.size(); ++node) {
        const auto named = [&](const auto& entry) { return entry.second == node; };
        if (std::ranges::none_of(names_, named)) break;
      }
    } else if (word.size() > 1 && word[0] == 'n' && number_of(word.substr(1), number)) {
      node = static_cast<uint64_t>(number) - 1;
    } else {
      return false;
    }
    return node < cluster_.size();
  }

  // A>B one way, A-B both ways; * is everyone.
  bool links_of(const std::string& word, LinkSet& links) {
    const size_t sign = word.find_first_of(">-");
    if (sign == std::string::npos) return false;
    const std::string left = word.substr(0, sign);
    const std::string right = word.substr(sign + 1);
    for (uint64_t from = 0; from < cluster_.size(); ++from) {
      for (uint64_t to = 0; to < cluster_.size(); ++to) {
        if (from == to || !matches(left, from) || !matches(right, to)) continue;
        links |= link(from, to);
        if (word[sign] == '-') links |= link(to, from);
      }
    }
    return links != 0;
  }
  bool matches(const std::string& word, uint64_t position) {
    uint64_t node = 0;
    return word == "*" || (node_of(word, node) && node == position);
  }

  bool act(const std::vector<std::string>& words) {
    const std::string& verb = words[0];
    int64_t first = 0;
    int64_t second = 0;
    if (verb == "cut" || verb == "mend") return cut(words);
    if (verb == "heal") {
      cut_ = 0;
      cluster_.set_cut(0);
      return true;
    }
    if (verb == "expect_leader") return cluster_.leader() < cluster_.size();
    if (verb == "network" && words.size() == 3) return network(words[1], words[2]);
    if (verb == "clients" && words.size() == 2 && number_of(words[1], first)) {
      clients_until_ = cluster_.now() + first * kMillisecond;
      cluster_.schedule(EventKind::client, 0);
      return true;
    }
    uint64_t node = 0;
    if (verb == "let" && words.size() == 4 && words[2] == "be" && node_of(words[3], node)) {
      names_[words[1]] = node;
      return true;
    }
    if (words.size() < 2 || !node_of(words[1], node)) return false;
    if (verb == "change") return change(node, words);
    if (words.size() > 2 && verb != "transfer" && !number_of(words[2], first)) return false;
    if (words.size() > 3 && !number_of(words[3], second)) return false;
    return act_on(verb, node, words, first, second);
  }

  bool act_on(const std::string& verb, uint64_t node, const std::vector<std::string>& words,
              int64_t first, int64_t second) {
    const bool leads = cluster_.node(node).alive &&
                       cluster_.node(node).replica->status().role == consensus::Role::leader;
    if (verb == "expect_leads") return leads;
    if (verb == "expect_follows") return !leads;
    if (verb == "crash") {
      cluster_.crash(node);
    } else if (verb == "restart") {
      cluster_.restart(node);
    } else if (verb == "wipe") {
      cluster_.wipe(node);
    } else if (verb == "rot") {
      const Index index{static_cast<uint64_t>(first)};
      if (!cluster_.may_rot(node, index)) return false;
      cluster_.rot(node, index, index);
    } else if (verb == "lose_store") {
      if (!cluster_.may_lose_store(node)) return false;
      cluster_.lose_store(node);
    } else if (verb == "pause") {
      cluster_.pause(node, first * kMillisecond);
    } else if (verb == "slow") {
      cluster_.slow_disk(node, std::max<int64_t>(first, 1));
    } else if (verb == "clock_fast" || verb == "clock_slow") {
      cluster_.change_drift(node, verb == "clock_fast" ? first : -first);
    } else if (verb == "fuse") {
      cluster_.light_fuse(node, static_cast<uint64_t>(first), static_cast<uint64_t>(second));
    } else if (verb == "wake") {
      cluster_.wake(node);
    } else if (verb == "read") {
      cluster_.read(node);
    } else if (verb == "propose") {
      for (int64_t count = std::max<int64_t>(first, 1); count != 0; --count) {
        cluster_.propose(node, static_cast<uint64_t>(second));
      }
    } else if (verb == "transfer" && words.size() == 3) {
      uint64_t target = 0;
      if (!node_of(words[2], target)) return false;
      cluster_.transfer(node, cluster_.node(target).id);
    } else {
      return false;
    }
    return true;
  }

  bool cut(const std::vector<std::string>& words) {
    LinkSet links = 0;
    for (size_t position = 1; position < words.size(); ++position) {
      if (!links_of(words[position], links)) return false;
    }
    cut_ = words[0] == "cut" ? cut_ | links : cut_ & ~links;
    cluster_.set_cut(cut_);
    return links != 0;
  }

  // change L voters A B learners C: asks L for exactly these members.
  bool change(uint64_t leader, const std::vector<std::string>& words) {
    consensus::Members target;
    std::vector<consensus::Member>* list = nullptr;
    for (size_t position = 2; position < words.size(); ++position) {
      uint64_t node = 0;
      if (words[position] == "voters") {
        list = &target.voters;
      } else if (words[position] == "learners") {
        list = &target.learners;
      } else if (list == nullptr || !node_of(words[position], node)) {
        return false;
      } else {
        list->push_back({cluster_.node(node).id, 0, {}});
      }
    }
    for (auto* members : {&target.voters, &target.learners}) {
      std::ranges::sort(*members, {}, &consensus::Member::id);
    }
    if (target.voters.empty() || !consensus::decode_members(encode_members(target))) return false;
    cluster_.change_members(leader, target);
    return true;
  }

  // The same names as the world's settings, applied to the network of now.
  bool network(const std::string& name, const std::string& value) {
    int64_t number = 0;
    Swarm changed = cluster_.swarm();
    changed.network = cluster_.quality();
    for (const Setting& setting : kSettings) {
      if (name != setting.name || !number_of(value, number)) continue;
      setting.set(changed, number);
      cluster_.set_network(changed.network);
      return true;
    }
    return false;
  }

  Cluster& cluster_;
  const Script& script_;
  Clients clients_;
  std::map<std::string, uint64_t> names_;
  LinkSet cut_ = 0;
  std::vector<int64_t> due_;  // when each line plays next
  int64_t clients_until_ = 0;
};

}  // namespace

Result<Script> parse_script(std::string name, const std::string& text) {
  Script script;
  script.name = std::move(name);
  script.world.restarts = false;
  script.world.election_timeout = 300 * kMillisecond;
  script.world.heartbeat_interval = 30 * kMillisecond;
  script.world.network.latency_min = 500 * kMicrosecond;
  script.world.network.latency_max = 2 * kMillisecond;
  script.world.client_interval = 5 * kMillisecond;
  std::istringstream stream(text);
  std::string line;
  for (uint64_t number = 1; std::getline(stream, line); ++number) {
    std::vector<std::string> words = words_of(line);
    if (words.empty()) continue;
    ScriptLine parsed;
    parsed.number = number;
    if (parse_times(words, parsed)) {
      parsed.words = std::move(words);
      script.lines.push_back(std::move(parsed));
    } else if (!parse_setting(words, script)) {
      return fail(ErrorKind::invalid, script.name + ":" + std::to_string(number) +
                                          ": neither a setting nor \"at T ...\" nor \"every M "
                                          "from T to U ...\"; see tests/scenarios/README.md");
    }
  }
  if (script.world.nodes < 1 || script.world.nodes + script.world.spares > kNodesMax) {
    return fail(ErrorKind::invalid, script.name + ": nodes and spares must be 1 to 7");
  }
  return script;
}

void play_script(Cluster& cluster, const Script& script, Rng rng) {
  Player(cluster, script, rng).run();
}

}  // namespace quorate::sim
