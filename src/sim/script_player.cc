// Plays scenarios: every action of tests/scenarios/README.md is a row of kActions.
#include <algorithm>
#include <map>

#include "sim/nemesis.h"
#include "sim/script.h"
#include "sim/story.h"
#include "sim/text.h"
#include "sim/world_settings.h"

namespace quorate::sim {
namespace {

constexpr int64_t kCountMax = 10'000;
constexpr int64_t kIndexMax = 1'000'000'000;
constexpr int64_t kPayloadMax = 65'536;

using Words = std::vector<std::string>;

class Player {
 public:
  Player(Cluster& cluster, const Script& script, Rng rng)
      : cluster_(cluster), script_(script), clients_(cluster, rng), story_(script.story) {}

  std::string run() {
    int64_t end = 0;
    for (const ScriptLine& line : script_.lines) {
      due_.push_back(line.from);
      end = std::max({end, line.from, line.to});
      cluster_.schedule(EventKind::script, line.from);
    }
    end += script_.linger != 0 ? script_.linger : cluster_.swarm().election_timeout;
    if (script_.until != 0) end = script_.until;
    cluster_.schedule(EventKind::end, end);
    while (!cluster_.failed()) {
      const Scheduled event = cluster_.advance();
      if (event.kind == EventKind::end) break;
      if (event.kind == EventKind::script) play_due();
      if (event.kind == EventKind::client && cluster_.now() < clients_until_) clients_.act();
      if (!awaited_.empty()) look_for_awaited();
    }
    story_.tell_changes(cluster_);
    cluster_.heal_everything();
    return story_.text();
  }

  using Play = bool (Player::*)(const Words& words);
  struct Action {
    const char* verb;
    size_t least;  // words, the verb included
    size_t most;
    Play play;
  };
  static const Action* action_of(const Words& words);

 private:
  struct Awaited {
    int64_t deadline = 0;
    Words what;
    uint64_t line = 0;
  };

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
    const std::string text = joined(line.words);
    if (cluster_.tracing()) cluster_.say("SCRIPT " + text);
    story_.tell_changes(cluster_);
    story_.tell(cluster_.now(), text);
    line_ = line.number;
    const Action* action = action_of(line.words);
    if (action != nullptr && (this->*action->play)(line.words)) return;
    fail_line(line.number, text, "cannot be played");
  }

  void fail_line(uint64_t number, const std::string& text, const std::string& why) {
    cluster_.oracles().violated(NodeId{}, "scenario " + script_.name + ", line " +
                                              std::to_string(number) + " (" + text + "): " + why);
  }

  // ---- Words.

  bool node_of(const std::string& word, uint64_t& node) const {
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
    } else if (word.size() > 1 && word[0] == 'n' && read_number(word.substr(1), number)) {
      node = static_cast<uint64_t>(number) - 1;
    } else {
      return false;
    }
    return node < cluster_.size();
  }

  // A>B one way, A-B both ways; * is everyone.
  bool links_of(const std::string& word, LinkSet& links) const {
    const size_t sign = word.find_first_of(">-");
    if (sign == std::string::npos) return false;
    const std::string left = word.substr(0, sign);
    const std::string right = word.substr(sign + 1);
    LinkSet named = 0;
    for (uint64_t from = 0; from < cluster_.size(); ++from) {
      for (uint64_t to = 0; to < cluster_.size(); ++to) {
        if (from == to || !matches(left, from) || !matches(right, to)) continue;
        named |= link(from, to);
        if (word[sign] == '-') named |= link(to, from);
      }
    }
    links |= named;
    return named != 0;
  }
  bool matches(const std::string& word, uint64_t position) const {
    uint64_t node = 0;
    return word == "*" || (node_of(word, node) && node == position);
  }

  static bool count_of(const Words& words, size_t place, int64_t most, int64_t& count) {
    if (words.size() <= place) return true;  // what `count` was before
    return read_number(words[place], count) && count >= 0 && count <= most;
  }

  bool new_name(const std::string& name) const {
    return !name.empty() && !names_.contains(name) && !proposals_.contains(name) &&
           !reads_.contains(name);
  }

  // ---- Actions on one node: the verb, the node, and perhaps a number.

  template <class Do>
  bool at_node(const Words& words, Do act) {
    uint64_t node = 0;
    if (!node_of(words[1], node)) return false;
    act(node);
    return true;
  }

  bool let(const Words& words) {
    uint64_t node = 0;
    if (words[2] != "be" || !new_name(words[1]) || !node_of(words[3], node)) return false;
    names_[words[1]] = node;
    return true;
  }
  bool crash(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.crash(node); });
  }
  bool restart(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.restart(node); });
  }
  bool wipe(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.wipe(node); });
  }
  bool wake(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.wake(node); });
  }
  bool timeout(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.fire_timeout(node); });
  }
  bool compact(const Words& words) {
    return at_node(words, [&](uint64_t node) { cluster_.compact(node); });
  }
  bool pause(const Words& words) {
    int64_t time = 0;
    if (!read_decimal(words[2], kMillisecond, time)) return false;
    return at_node(words, [&](uint64_t node) { cluster_.pause(node, time); });
  }
  bool clock(const Words& words) {
    int64_t time = 0;
    if (!read_decimal(words[2], kMillisecond, time)) return false;
    return at_node(words, [&](uint64_t node) { cluster_.jump_clock(node, time); });
  }
  bool drift(const Words& words) {
    int64_t parts = 0;
    if (!read_number(words[2], parts) || parts < -500'000 || parts > 500'000) return false;
    return at_node(words, [&](uint64_t node) { cluster_.change_drift(node, parts); });
  }
  bool slow(const Words& words) {
    int64_t factor = 1;
    if (!count_of(words, 2, 1'000'000, factor)) return false;
    return at_node(words,
                   [&](uint64_t node) { cluster_.slow_disk(node, std::max<int64_t>(factor, 1)); });
  }
  bool fuse(const Words& words) {
    int64_t turns = 0;
    int64_t steps = 0;
    if (!count_of(words, 2, kCountMax, turns) || !count_of(words, 3, kCountMax, steps)) {
      return false;
    }
    return at_node(words, [&](uint64_t node) {
      cluster_.light_fuse(node, static_cast<uint64_t>(turns), static_cast<uint64_t>(steps));
    });
  }
  // rot A first [last]
  bool rot(const Words& words) {
    uint64_t node = 0;
    int64_t first = 0;
    if (!node_of(words[1], node) || !read_number(words[2], first) || first < 1) return false;
    int64_t last = first;
    if (!count_of(words, 3, kIndexMax, last) || last < first || last - first > kCountMax) {
      return false;
    }
    return cluster_.rot(node, Index{static_cast<uint64_t>(first)},
                        Index{static_cast<uint64_t>(last)});
  }
  bool lose_store(const Words& words) {
    uint64_t node = 0;
    if (!node_of(words[1], node) || !cluster_.may_lose_store(node)) return false;
    cluster_.lose_store(node);
    return true;
  }
  bool stall(const Words& words) { return set_stall(words, true); }
  bool unstall(const Words& words) { return set_stall(words, false); }
  bool set_stall(const Words& words, bool stalled) {
    if (words[2] != "disk" && words[2] != "apply") return false;
    return at_node(words, [&](uint64_t node) {
      if (words[2] == "disk") {
        cluster_.stall_disk(node, stalled);
      } else {
        cluster_.stall_apply(node, stalled);
      }
    });
  }
  bool disconnect(const Words& words) {
    uint64_t peer = 0;
    if (!node_of(words[2], peer)) return false;
    return at_node(words, [&](uint64_t node) { cluster_.disconnect(node, peer); });
  }
  bool transfer(const Words& words) {
    uint64_t target = 0;
    const bool any = words[2] == "*";
    if (!any && !node_of(words[2], target)) return false;
    const NodeId to = any ? NodeId{} : cluster_.node(target).id;
    return at_node(words, [&](uint64_t node) { cluster_.transfer(node, to); });
  }

  // ---- Links and messages.

  bool cut(const Words& words) { return set_links(words, true); }
  bool mend(const Words& words) { return set_links(words, false); }
  bool set_links(const Words& words, bool cut) {
    LinkSet links = 0;
    for (size_t position = 1; position < words.size(); ++position) {
      if (!links_of(words[position], links)) return false;
    }
    cluster_.set_cut(cut ? cluster_.cut() | links : cluster_.cut() & ~links);
    return true;
  }
  bool heal(const Words&) {
    cluster_.set_cut(0);
    return true;
  }
  // The same names as the world's settings, applied to the network of now.
  bool network(const Words& words) {
    Swarm changed = cluster_.swarm();
    changed.network = cluster_.quality();
    if (words.size() % 2 == 0) return false;
    for (size_t position = 1; position < words.size(); position += 2) {
      if (!set_world(changed, words[position], words[position + 1])) return false;
    }
    if (!world_problem(changed).empty()) return false;
    cluster_.set_network(changed.network);
    return true;
  }
  static std::string kind_in(const Words& words) { return words.size() > 2 ? words[2] : ""; }
  bool hold(const Words& words) {
    LinkSet links = 0;
    if (!links_of(words[1], links)) return false;
    cluster_.hold(links, kind_in(words));
    return true;
  }
  bool release(const Words& words) {
    LinkSet links = 0;
    if (!links_of(words[1], links)) return false;
    cluster_.stop_holding(links, kind_in(words));
    cluster_.release(links, kind_in(words), Cluster::Which::all, true);
    return true;
  }
  // deliver A>B [kind [first|last]]. Without any such message the scenario does not test what it
  // says.
  bool deliver(const Words& words) { return let_go(words, true); }
  bool forget(const Words& words) { return let_go(words, false); }
  bool let_go(const Words& words, bool deliver) {
    LinkSet links = 0;
    if (!links_of(words[1], links)) return false;
    Cluster::Which which = Cluster::Which::all;
    if (words.size() == 4) {
      if (words[3] != "first" && words[3] != "last") return false;
      which = words[3] == "first" ? Cluster::Which::first : Cluster::Which::last;
    }
    return cluster_.release(links, kind_in(words), which, deliver) != 0;
  }

  // ---- Clients.

  bool clients(const Words& words) {
    int64_t time = 0;
    if (!read_decimal(words[1], kMillisecond, time)) return false;
    clients_until_ = cluster_.now() + time;
    cluster_.schedule(EventKind::client, 0);
    return true;
  }
  // propose A [count [size]], or: propose A as NAME
  bool propose(const Words& words) {
    uint64_t node = 0;
    if (!node_of(words[1], node)) return false;
    if (words.size() == 4 && words[2] == "as") {
      if (!new_name(words[3])) return false;
      const ProposalId id = cluster_.propose(node, 0);
      if (id) proposals_[words[3]] = id;
      return bool{id};
    }
    int64_t count = 1;
    int64_t size = 0;
    if (!count_of(words, 2, kCountMax, count) || !count_of(words, 3, kPayloadMax, size)) {
      return false;
    }
    for (; count != 0; --count) cluster_.propose(node, static_cast<uint64_t>(size));
    return true;
  }
  // read A, or: read A as NAME
  bool read(const Words& words) {
    uint64_t node = 0;
    if (!node_of(words[1], node)) return false;
    if (words.size() == 2) {
      cluster_.read(node);
      return true;
    }
    if (words.size() != 4 || words[2] != "as" || !new_name(words[3])) return false;
    const ReadId id = cluster_.read(node);
    if (id) reads_[words[3]] = id;
    return bool{id};
  }

  // change L voters A B learners C: asks L for exactly these members.
  bool change(const Words& words) {
    uint64_t leader = 0;
    if (!node_of(words[1], leader)) return false;
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
  bool retire(const Words& words) {
    uint64_t node = 0;
    if (!node_of(words[1], node) || !cluster_.may_retire(node)) return false;
    cluster_.retire(node);
    return true;
  }

  // ---- What must be seen.

  enum class Seen : uint8_t { yes, no, nonsense };

  bool expect(const Words& words) {
    const Words what(words.begin() + 1, words.end());
    const Seen seen = see(what);
    if (seen == Seen::no) {
      uint64_t node = 0;
      const bool known = node_of(what[0], node);
      fail_line(line_, joined(words),
                "expected otherwise" +
                    (known ? "; it is " + describe_node(cluster_, node, true) : std::string{}));
    }
    return seen != Seen::nonsense;
  }
  bool expect_leader(const Words&) { return cluster_.leader() < cluster_.size(); }
  bool expect_leads(const Words& words) { return see({words[1], "leads"}) == Seen::yes; }
  bool expect_follows(const Words& words) { return see({words[1], "leads"}) == Seen::no; }

  // await MS what...: within so many milliseconds from now.
  bool await(const Words& words) {
    Awaited awaited;
    if (!read_decimal(words[1], kMillisecond, awaited.deadline)) return false;
    awaited.deadline += cluster_.now();
    awaited.what.assign(words.begin() + 2, words.end());
    awaited.line = line_;
    const Seen seen = see(awaited.what);
    if (seen == Seen::no) {
      cluster_.schedule(EventKind::script, awaited.deadline - cluster_.now());
      awaited_.push_back(std::move(awaited));
    }
    return seen != Seen::nonsense;
  }
  void look_for_awaited() {
    std::erase_if(awaited_, [&](const Awaited& awaited) {
      if (see(awaited.what) == Seen::yes) return true;
      if (cluster_.now() < awaited.deadline) return false;
      fail_line(awaited.line, "await " + joined(awaited.what), "it did not happen in time");
      return true;
    });
  }

  static Seen seen_if(bool condition) { return condition ? Seen::yes : Seen::no; }

  Seen see(const Words& what) {
    if (what.size() == 1 && what[0] == "leader") {
      const uint64_t leader = cluster_.leader();
      return seen_if(leader < cluster_.size() &&
                     cluster_.node(leader).replica->status().established);
    }
    if (what.size() < 2) return Seen::nonsense;
    if (what[0] == "not") {
      const Seen seen = see({what.begin() + 1, what.end()});
      if (seen == Seen::nonsense) return seen;
      return seen == Seen::yes ? Seen::no : Seen::yes;
    }
    if (const auto found = proposals_.find(what[0]); found != proposals_.end()) {
      return see_proposal(found->second, what);
    }
    if (const auto found = reads_.find(what[0]); found != reads_.end()) {
      return see_read(found->second, what);
    }
    uint64_t node = 0;
    if (!node_of(what[0], node)) return Seen::nonsense;
    return see_node(cluster_.node(node), what);
  }

  Seen see_proposal(ProposalId id, const Words& what) {
    if (what.size() != 2) return Seen::nonsense;
    static const std::map<std::string, Fate> kFates = {{"pending", Fate::pending},
                                                       {"refused", Fate::refused},
                                                       {"chosen", Fate::chosen},
                                                       {"acknowledged", Fate::acknowledged}};
    const auto wanted = kFates.find(what[1]);
    if (wanted == kFates.end()) return Seen::nonsense;
    return seen_if(cluster_.oracles().fate(id) == wanted->second);
  }

  Seen see_read(ReadId id, const Words& what) {
    Index answer;
    const Cluster::ReadFate fate = cluster_.fate_of(id, answer);
    if (what[1] == "waits") return seen_if(fate == Cluster::ReadFate::open);
    if (what[1] == "refused") return seen_if(fate == Cluster::ReadFate::refused);
    if (what[1] != "ready") return Seen::nonsense;
    int64_t index = 0;
    if (what.size() == 2) return seen_if(fate == Cluster::ReadFate::ready);
    if (what.size() != 4 || what[2] != "at" || !read_number(what[3], index)) return Seen::nonsense;
    return seen_if(fate == Cluster::ReadFate::ready &&
                   answer == Index{static_cast<uint64_t>(index)});
  }

  Seen see_node(const SimNode& node, const Words& what) {
    const std::string& field = what[1];
    if (what.size() == 2) {
      if (field == "down") return seen_if(!node.alive);
      if (field == "up") return seen_if(node.alive);
      const bool leads = field == "leads";
      if (!leads && field != "follows" && field != "campaigns") return Seen::nonsense;
      if (!node.alive) return Seen::no;
      const consensus::Role role = node.replica->status().role;
      if (leads) return seen_if(role == consensus::Role::leader);
      const bool campaigns = role == consensus::Role::candidate;
      return seen_if(field == "campaigns" ? campaigns : role == consensus::Role::follower);
    }
    if (field == "log") {
      return seen_if(log_terms(node, false) == joined({what.begin() + 2, what.end()}));
    }
    if (!node.alive) return Seen::no;
    const consensus::Status status = node.replica->status();
    if (field == "knows" && what.size() == 3) {  // who leads
      uint64_t leader = 0;
      if (what[2] == "none") return seen_if(!status.leader);
      if (!node_of(what[2], leader)) return Seen::nonsense;
      return seen_if(status.leader == cluster_.node(leader).id);
    }
    uint64_t value = 0;
    if (field == "term") {
      value = status.ballot.round;
    } else if (field == "committed") {
      value = status.committed.value;
    } else if (field == "applied") {
      value = node.machine.applied.value;
    } else if (field == "last") {
      value = status.last.value;
    } else if (field == "first") {
      value = status.first.value;
    } else {
      return Seen::nonsense;
    }
    return compare(value, what);
  }

  static Seen compare(uint64_t value, const Words& what) {
    int64_t bound = 0;
    if (!read_number(what.back(), bound) || bound < 0) return Seen::nonsense;
    const auto wanted = static_cast<uint64_t>(bound);
    if (what.size() == 3) return seen_if(value == wanted);
    if (what.size() != 4) return Seen::nonsense;
    if (what[2] == ">=") return seen_if(value >= wanted);
    if (what[2] == "<=") return seen_if(value <= wanted);
    return Seen::nonsense;
  }

  Cluster& cluster_;
  const Script& script_;
  Clients clients_;
  Story story_;
  std::map<std::string, uint64_t> names_;
  std::map<std::string, ProposalId> proposals_;
  std::map<std::string, ReadId> reads_;
  std::vector<int64_t> due_;  // when each line plays next
  std::vector<Awaited> awaited_;
  int64_t clients_until_ = 0;
  uint64_t line_ = 0;

  static const Action kActions[];
};

const Player::Action Player::kActions[] = {
    {"let", 4, 4, &Player::let},
    {"crash", 2, 2, &Player::crash},
    {"restart", 2, 2, &Player::restart},
    {"wipe", 2, 2, &Player::wipe},
    {"wake", 2, 2, &Player::wake},
    {"timeout", 2, 2, &Player::timeout},
    {"compact", 2, 2, &Player::compact},
    {"pause", 3, 3, &Player::pause},
    {"clock", 3, 3, &Player::clock},
    {"drift", 3, 3, &Player::drift},
    {"slow", 3, 3, &Player::slow},
    {"fuse", 3, 4, &Player::fuse},
    {"rot", 3, 4, &Player::rot},
    {"lose_store", 2, 2, &Player::lose_store},
    {"stall", 3, 3, &Player::stall},
    {"unstall", 3, 3, &Player::unstall},
    {"disconnect", 3, 3, &Player::disconnect},
    {"transfer", 3, 3, &Player::transfer},
    {"cut", 2, 80, &Player::cut},
    {"mend", 2, 80, &Player::mend},
    {"heal", 1, 1, &Player::heal},
    {"network", 3, 21, &Player::network},
    {"hold", 2, 3, &Player::hold},
    {"release", 2, 3, &Player::release},
    {"deliver", 2, 4, &Player::deliver},
    {"forget", 2, 4, &Player::forget},
    {"change", 4, 80, &Player::change},
    {"retire", 2, 2, &Player::retire},
    {"clients", 2, 2, &Player::clients},
    {"propose", 2, 4, &Player::propose},
    {"read", 2, 4, &Player::read},
    {"expect", 2, 80, &Player::expect},
    {"expect_leader", 1, 1, &Player::expect_leader},
    {"expect_leads", 2, 2, &Player::expect_leads},
    {"expect_follows", 2, 2, &Player::expect_follows},
    {"await", 3, 80, &Player::await},
};

const Player::Action* Player::action_of(const Words& words) {
  for (const Action& action : kActions) {
    if (words[0] != action.verb) continue;
    return words.size() >= action.least && words.size() <= action.most ? &action : nullptr;
  }
  return nullptr;
}

}  // namespace

bool is_action(const std::vector<std::string>& words) {
  return !words.empty() && Player::action_of(words) != nullptr;
}

std::string play_script(Cluster& cluster, const Script& script, Rng rng) {
  return Player(cluster, script, rng).run();
}

}  // namespace quorate::sim
