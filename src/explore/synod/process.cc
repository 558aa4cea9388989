#include "explore/synod/process.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/codec.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {

using namespace consensus::synod;

namespace {

void put(Encoder& out, const Ballot& ballot) {
  out.u8(static_cast<uint8_t>(ballot.round));
  out.u8(static_cast<uint8_t>(ballot.node.value));
}
void put(Encoder& out, const Proposal& proposal) {
  put(out, proposal.ballot);
  out.string(proposal.value.view());
}
void put(Encoder& out, const std::optional<Proposal>& proposal) {
  out.u8(proposal ? 1 : 0);
  if (proposal) put(out, *proposal);
}
void put(Encoder& out, const AcceptorState& state) {
  put(out, state.promised);
  put(out, state.accepted);
}
// They leave together, so their order does not count, nor how often one is there.
void put(Encoder& out, const std::vector<Body>& waiting) {
  std::set<std::string> keys;
  for (const Body& body : waiting) keys.insert(key(body));
  out.u8(static_cast<uint8_t>(keys.size()));
  for (const std::string& each : keys) out.raw(each);
}

struct Key {
  Encoder& out;
  void operator()(const Prepare& it) const { put(out, it.ballot); }
  void operator()(const Promise& it) const {
    put(out, it.ballot);
    put(out, it.accepted);
  }
  void operator()(const Accept& it) const { put(out, it.proposal); }
  void operator()(const Accepted& it) const { put(out, it.proposal); }
  void operator()(const Refused& it) const {
    put(out, it.ballot);
    put(out, it.promised);
  }
};

std::string words(const Proposal& proposal) {
  return proposal.value.str() + " in " + text(proposal.ballot);
}

struct Words {
  std::string operator()(const Prepare& it) const { return "prepare " + text(it.ballot); }
  std::string operator()(const Promise& it) const {
    return "promise " + text(it.ballot) +
           (it.accepted ? ", accepted " + words(*it.accepted) : ", nothing accepted");
  }
  std::string operator()(const Accept& it) const { return "accept " + words(it.proposal); }
  std::string operator()(const Accepted& it) const { return "accepted " + words(it.proposal); }
  std::string operator()(const Refused& it) const {
    return text(it.ballot) + " refused: " + text(it.promised) + " is promised";
  }
};

}  // namespace

consensus::Members acceptors() {
  consensus::Members members;
  for (size_t place = 0; place < kAcceptors; ++place) {
    members.voters.push_back({acceptor_id(place), 0, {}});
  }
  return members;
}

NodeId acceptor_id(size_t place) { return NodeId{place + 1}; }
NodeId proposer_id(size_t place) { return NodeId{kAcceptors + place + 1}; }

Bytes wish(size_t proposer, size_t starts) {
  return Bytes(std::string(1, static_cast<char>('a' + proposer)) + std::to_string(starts + 1));
}

std::string key(const Body& body) {
  Encoder out;
  out.u8(static_cast<uint8_t>(body.index()));
  std::visit(Key{out}, body);
  return std::move(out.text());
}

std::string text(const Ballot& ballot) {
  const size_t place = ballot.node.value - kAcceptors - 1;
  return "ballot " + std::to_string(ballot.round) + static_cast<char>('A' + place);
}

std::string text(const Body& body) { return std::visit(Words{}, body); }

std::string name(NodeId id) {
  if (id.value <= kAcceptors) return "acceptor " + std::to_string(id.value);
  return std::string("proposer ") + static_cast<char>('A' + id.value - kAcceptors - 1);
}

std::vector<Body> AcceptorProcess::take(const Body& body, bool slow_disk) {
  const auto* prepare = std::get_if<Prepare>(&body);
  const Answer answer = prepare != nullptr ? core.on(*prepare) : core.on(std::get<Accept>(body));
  // A refusal only helps to be quick. What it can bring about, a ballot of any higher round, is a
  // move of the proposer here, so it need not travel.
  if (std::holds_alternative<Refused>(answer.body)) return {};
  if (answer.after_write && slow_disk) {
    waiting.push_back(answer.body);
    return {};
  }
  if (!slow_disk) disk = core.state();
  return {answer.body};
}

std::vector<Body> AcceptorProcess::sync() {
  disk = core.state();
  return std::exchange(waiting, {});
}

void AcceptorProcess::crash() {
  core = Acceptor(disk);
  waiting.clear();
}

std::string AcceptorProcess::key() const {
  Encoder out;
  put(out, core.state());
  put(out, disk);
  put(out, waiting);
  return std::move(out.text());
}

ProposerProcess::ProposerProcess(size_t at)
    : place(at), core(proposer_id(at), acceptors(), wish(at, 0), 0) {}

std::vector<Body> ProposerProcess::begin(uint64_t above, bool slow_disk) {
  const Body prepare = core.begin(above);
  waiting.clear();  // the ballot before is given up, nobody has heard of it
  waiting.push_back(prepare);
  return slow_disk ? std::vector<Body>{} : sync();
}

std::vector<Body> ProposerProcess::take(NodeId from, const Body& body) {
  const auto* promise = std::get_if<Promise>(&body);
  if (promise == nullptr) return {};
  auto accept = core.on(from, *promise);
  if (!accept) return {};
  return {*accept};
}

std::vector<Body> ProposerProcess::sync() {
  disk = core.round_used();
  return std::exchange(waiting, {});
}

void ProposerProcess::crash() {
  ++starts;
  core = Proposer(proposer_id(place), acceptors(), wish(place, starts), disk);
  waiting.clear();
}

std::string ProposerProcess::key() const {
  Encoder out;
  out.u8(static_cast<uint8_t>(place));
  out.u8(static_cast<uint8_t>(starts));
  out.u8(static_cast<uint8_t>(disk));
  out.u8(static_cast<uint8_t>(core.round_used()));
  out.u8(static_cast<uint8_t>(core.phase()));
  put(out, core.ballot());
  // Who promised counts as a set, and only until a majority has.
  if (core.phase() == Proposer::Phase::preparing) {
    std::vector<uint8_t> ids;
    for (const NodeId id : core.promisers()) ids.push_back(static_cast<uint8_t>(id.value));
    std::ranges::sort(ids);
    for (const uint8_t id : ids) out.u8(id);
    put(out, core.highest());
  }
  out.u8(0);
  put(out, waiting);
  return std::move(out.text());
}

}  // namespace quorate::explore::synod
