#include "consensus/register/registers.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/register/limits.h"

namespace quorate::consensus::caspaxos {
namespace {

size_t written_bytes(const Change& change) {
  if (const auto* set = std::get_if<Set>(&change)) return set->value.size();
  const auto* swap = std::get_if<CompareAndSet>(&change);
  return swap == nullptr ? 0 : swap->value.size();
}

}  // namespace

void apply(const Write& write, Durable& durable) {
  if (write.rounds_reserved != 0) durable.rounds_reserved = write.rounds_reserved;
  for (const auto& [name, state] : write.registers) durable.registers[name] = state;
}

Registers::Registers(const Self& self, Members acceptors, Durable recovered, Rng rng)
    : self_(self),
      members_(std::move(acceptors)),
      acceptors_(std::move(recovered.registers)),
      rng_(rng),
      round_(QRT_MUTANT(X02_REGISTER) ? 0 : recovered.rounds_reserved),
      reserved_(recovered.rounds_reserved) {}

void Registers::change(Time now, const ProposalId& id, const std::string& name, Change change,
                       Time deadline) {
  const auto refuse = [&](Why why) {
    effects_.finished.push_back({id, {Verdict::not_applied, why, 0, {}}});
  };
  if (name.empty() || name.size() > kNameBytesMax || written_bytes(change) > kValueBytesMax) {
    return refuse(Why::too_large);
  }
  if (changes_ >= kChangesMax) return refuse(Why::busy);
  ++changes_;
  Work& work = works_[name];
  work.waiting.push_back({id, std::move(change), deadline});
  if (work.waiting.size() == 1) start_next(now, name);
}

void Registers::start_next(Time now, const std::string& name) {
  const auto found = works_.find(name);
  Work& work = found->second;
  if (work.waiting.empty()) {
    works_.erase(found);
    return;
  }
  const Waiting& first = work.waiting.front();
  work.proposer.emplace(name, members_, first.id, first.change);
  work.window = kBackOffFirst;
  begin_ballot(now, work);
}

void Registers::begin_ballot(Time now, Work& work) {
  work.again = now + kSilenceMax;
  ++round_;
  if (round_ > reserved_) {
    reserved_ = round_ + kRoundsReserved;
    open_write().rounds_reserved = reserved_;
  }
  send_all(work.proposer->begin({round_, self_.proposer}), last_write_);
}

Write& Registers::open_write() {
  if (!effects_.write) {
    effects_.write.emplace();
    last_write_.value++;
    effects_.write->id = last_write_;
  }
  return *effects_.write;
}

void Registers::send_all(const Body& body, WriteId after) {
  for (const Member& member : members_.voters) {
    effects_.messages.push_back({member.id, after, body});
  }
}

void Registers::receive(Time now, NodeId from, const Body& body) {
  std::visit([&](const auto& it) { on(now, from, it); }, body);
}

void Registers::answer(NodeId to, Acceptors::Answer answer, const std::string& name) {
  if (answer.changed) open_write().registers[name] = acceptors_.states().at(name);
  effects_.messages.push_back(
      {to, answer.after_write ? last_write_ : WriteId{}, std::move(answer.body)});
}

void Registers::on(Time, NodeId from, const Prepare& prepare) {
  if (!self_.accepts || !members_.is_voter(self_.node)) return;
  answer(from, acceptors_.on(prepare), prepare.name);
}

void Registers::on(Time, NodeId from, const Accept& accept) {
  if (!self_.accepts || !members_.is_voter(self_.node)) return;
  answer(from, acceptors_.on(accept), accept.name);
}

void Registers::on(Time now, NodeId from, const Promise& promise) {
  const auto found = works_.find(promise.name);
  if (found == works_.end()) return;
  auto next = found->second.proposer->on(from, promise);
  if (auto* accept = std::get_if<Accept>(&next)) {
    send_all(*accept, WriteId{});
  } else if (const auto* outcome = std::get_if<Outcome>(&next)) {
    finish(now, promise.name, *outcome);
  }
}

void Registers::on(Time now, NodeId from, const Accepted& accepted) {
  const auto found = works_.find(accepted.name);
  if (found == works_.end()) return;
  const auto outcome = found->second.proposer->on(from, accepted);
  if (outcome) finish(now, accepted.name, *outcome);
}

void Registers::on(Time now, NodeId, const Refused& refused) {
  round_ = std::max(round_, refused.promised.round);
  const auto found = works_.find(refused.name);
  if (found == works_.end() || !found->second.proposer->on(refused)) return;
  if (refused.full) {
    return finish(now, refused.name, found->second.proposer->give_up(Why::full));
  }
  if (refused.promised == refused.ballot) return;  // its promise is on its way
  Work& work = found->second;
  const auto wait = rng_.between(1, static_cast<uint64_t>(work.window.count()));
  work.again = std::min(work.again, now + Duration(wait));
  work.window = std::min(2 * work.window, kBackOffLongest);
}

void Registers::finish(Time now, const std::string& name, const Outcome& outcome) {
  Work& work = works_.at(name);
  effects_.finished.push_back({work.waiting.front().id, outcome});
  work.waiting.pop_front();
  --changes_;
  start_next(now, name);
}

void Registers::wake(Time now) {
  std::vector<std::string> names;
  for (const auto& [name, work] : works_) names.push_back(name);
  for (const std::string& name : names) {
    // Who waits behind may run out of time before whoever is under way.
    Work& work = works_.at(name);
    for (auto it = work.waiting.begin() + 1; it != work.waiting.end();) {
      if (it->deadline > now) {
        ++it;
        continue;
      }
      effects_.finished.push_back({it->id, {Verdict::not_applied, Why::timed_out, 0, {}}});
      --changes_;
      it = work.waiting.erase(it);
    }
    if (work.waiting.front().deadline <= now) {
      finish(now, name, work.proposer->give_up(Why::timed_out));
    } else if (work.again <= now) {
      begin_ballot(now, work);
    }
  }
}

Time Registers::deadline() const {
  Time next = kNever;
  for (const auto& [name, work] : works_) {
    next = std::min(next, work.again);
    for (const Waiting& waiting : work.waiting) next = std::min(next, waiting.deadline);
  }
  return next;
}

Effects Registers::take_effects() { return std::exchange(effects_, {}); }

}  // namespace quorate::consensus::caspaxos
