#include "explore/synod/duel.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/check.h"
#include "explore/synod/process.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {

using namespace consensus::synod;

namespace {

constexpr size_t kChannels = kProposers * kAcceptors;
// Bounds of the search: requests waiting in one channel, and states looked at.
constexpr size_t kWaitingMax = 4;
constexpr size_t kOutwardStatesMax = 20'000;
constexpr size_t kCircleStatesMax = 20'000;

struct Request {
  Body body;
  bool old = false;  // was under way when the circle began
};

// Two proposers, three acceptors, requests under way. An answer takes no time.
class Table {
 public:
  Table() {
    for (size_t place = 0; place < kProposers; ++place) {
      proposers_.emplace_back(proposer_id(place), acceptors(), wish(place, 0), 0);
      say(place, proposers_[place].begin());
    }
  }

  bool can_deliver(size_t channel) const {
    if (channels_[channel].empty()) return false;
    const size_t place = channel / kAcceptors;
    const bool room = std::ranges::all_of(std::array{0U, 1U, 2U}, [&](size_t acceptor) {
      return channels_[place * kAcceptors + acceptor].size() < kWaitingMax;
    });
    return room && !would_accept(channel);
  }
  // In words what happened.
  std::string deliver(size_t channel);
  void mark_old() {
    for (auto& channel : channels_) {
      for (Request& request : channel) request.old = true;
    }
  }
  bool has_old() const {
    return std::ranges::any_of(
        channels_, [](const auto& channel) { return std::ranges::any_of(channel, &Request::old); });
  }
  // With rounds counted from the lowest one that still matters.
  std::string key(bool with_age) const;
  uint64_t lowest_round() const;
  bool nobody_accepted() const {
    return std::ranges::none_of(acceptors_,
                                [](const Acceptor& it) { return it.state().accepted.has_value(); });
  }
  uint64_t ballots() const { return ballots_; }

 private:
  // The search avoids it: where nobody ever accepts, nothing is ever chosen.
  bool would_accept(size_t channel) const {
    const auto* accept = std::get_if<Accept>(&channels_[channel].front().body);
    return accept != nullptr &&
           accept->proposal.ballot >= acceptors_[channel % kAcceptors].state().promised;
  }
  void say(size_t proposer, const Body& body) {
    if (std::holds_alternative<Prepare>(body)) ++ballots_;
    for (size_t acceptor = 0; acceptor < kAcceptors; ++acceptor) {
      channels_[proposer * kAcceptors + acceptor].push_back({body, false});
    }
  }
  static Ballot ballot_of(const Body& body) {
    const auto* prepare = std::get_if<Prepare>(&body);
    return prepare != nullptr ? prepare->ballot : std::get<Accept>(body).proposal.ballot;
  }

  std::array<Acceptor, kAcceptors> acceptors_{Acceptor({}), Acceptor({}), Acceptor({})};
  std::vector<Proposer> proposers_;
  std::array<std::vector<Request>, kChannels> channels_;  // proposer * kAcceptors + acceptor
  uint64_t ballots_ = 0;
};

std::string Table::deliver(size_t channel) {
  const size_t place = channel / kAcceptors;
  const size_t acceptor = channel % kAcceptors;
  const Body request = channels_[channel].front().body;
  channels_[channel].erase(channels_[channel].begin());
  const auto* prepare = std::get_if<Prepare>(&request);
  Acceptor& asked = acceptors_[acceptor];
  const Answer answer =
      prepare != nullptr ? asked.on(*prepare) : asked.on(std::get<Accept>(request));
  Proposer& proposer = proposers_[place];
  std::string line =
      name(acceptor_id(acceptor)) + " gets " + text(request) + "; answers: " + text(answer.body);
  if (const auto* promise = std::get_if<Promise>(&answer.body)) {
    if (const auto accept = proposer.on(acceptor_id(acceptor), *promise)) {
      say(place, *accept);
      line += "; " + name(proposer_id(place)) + " has a majority, says: " + text(Body(*accept));
    }
  } else if (const auto* refused = std::get_if<Refused>(&answer.body)) {
    const bool was_under_way = proposer.phase() != Proposer::Phase::idle;
    proposer.on(*refused);
    if (was_under_way && proposer.phase() == Proposer::Phase::idle) {
      const Body again = proposer.begin();
      say(place, again);
      line += "; " + name(proposer_id(place)) + " tries again, says: " + text(again);
    }
  }
  return line;
}

uint64_t Table::lowest_round() const {
  uint64_t lowest = UINT64_MAX;
  for (const Proposer& proposer : proposers_) lowest = std::min(lowest, proposer.ballot().round);
  for (const Acceptor& acceptor : acceptors_) {
    if (acceptor.state().promised.round != 0) {
      lowest = std::min(lowest, acceptor.state().promised.round);
    }
  }
  for (const auto& channel : channels_) {
    for (const Request& request : channel) {
      lowest = std::min(lowest, ballot_of(request.body).round);
    }
  }
  return lowest;
}

std::string Table::key(bool with_age) const {
  const uint64_t base = lowest_round() - 1;
  std::string out;
  const auto put = [&out](uint64_t number) { out.push_back(static_cast<char>(number)); };
  const auto put_ballot = [&](const Ballot& ballot) {
    put(ballot.round == 0 ? 0 : ballot.round - base);
    put(ballot.node.value);
  };
  for (const Acceptor& acceptor : acceptors_) put_ballot(acceptor.state().promised);
  for (const Proposer& proposer : proposers_) {
    put_ballot(proposer.ballot());
    put(static_cast<uint64_t>(proposer.phase()));
    put(proposer.round_seen() > base ? proposer.round_seen() - base : 0);
    uint64_t promisers = 0;
    for (const NodeId id : proposer.promisers()) promisers |= uint64_t{1} << id.value;
    put(proposer.phase() == Proposer::Phase::preparing ? promisers : 0);
  }
  for (const auto& channel : channels_) {
    put(channel.size());
    for (const Request& request : channel) {
      put(request.body.index() * 2 + (with_age && request.old ? 1 : 0));
      put_ballot(ballot_of(request.body));
    }
  }
  return out;
}

// Breadth first from a table. Ends where `done` says so.
class Walk {
 public:
  explicit Walk(const Table& start, bool with_age) : with_age_(with_age) { add(start, 0, 0); }
  template <class Done>
  std::optional<size_t> search(size_t states_max, const Done& done) {
    for (size_t place = 0; place < tables_.size() && tables_.size() < states_max; ++place) {
      if (place != 0 && done(tables_[place])) return place;
      for (size_t channel = 0; channel < kChannels; ++channel) {
        if (!tables_[place].can_deliver(channel)) continue;
        Table next = tables_[place];
        next.deliver(channel);
        add(next, place, channel);
      }
    }
    return std::nullopt;
  }
  std::vector<size_t> way_to(size_t place) const {
    std::vector<size_t> channels;
    for (; place != 0; place = ways_[place].first) channels.push_back(ways_[place].second);
    std::ranges::reverse(channels);
    return channels;
  }
  size_t size() const { return tables_.size(); }
  const Table& at(size_t place) const { return tables_[place]; }

 private:
  void add(const Table& table, size_t from, size_t channel) {
    if (!known_.try_emplace(table.key(with_age_), tables_.size()).second) return;
    tables_.push_back(table);
    ways_.emplace_back(from, channel);
  }

  bool with_age_;
  std::map<std::string, size_t> known_;
  std::vector<Table> tables_;
  std::vector<std::pair<size_t, size_t>> ways_;
};

std::vector<std::string> play(Table& table, const std::vector<size_t>& channels) {
  std::vector<std::string> lines;
  for (const size_t channel : channels) {
    CHECK(table.can_deliver(channel), "a schedule that was found can be played");
    lines.push_back(table.deliver(channel));
  }
  return lines;
}

}  // namespace

Duel find_endless_duel(uint64_t circles) {
  Duel duel;
  Walk outward(Table(), false);
  outward.search(kOutwardStatesMax, [](const Table&) { return false; });
  for (size_t place = 0; place < outward.size(); ++place) {
    Table start = outward.at(place);
    start.mark_old();
    const std::string wanted = start.key(false);
    Walk around(start, true);
    const auto back = around.search(kCircleStatesMax, [&](const Table& table) {
      return !table.has_old() && table.key(false) == wanted;
    });
    duel.states += around.size();
    if (!back) continue;
    Table table;
    duel.before = play(table, outward.way_to(place));
    const std::vector<size_t> circle = around.way_to(*back);
    const uint64_t lowest = table.lowest_round();
    duel.circle = play(table, circle);
    duel.rounds_higher = table.lowest_round() - lowest;
    for (; duel.circles_played < circles; ++duel.circles_played) {
      play(table, circle);
      CHECK(table.nobody_accepted() && table.key(false) == wanted, "the circle closes");
    }
    duel.ballots_played = table.ballots();
    return duel;
  }
  return duel;
}

}  // namespace quorate::explore::synod
