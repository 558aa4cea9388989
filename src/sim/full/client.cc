#include "sim/full/client.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/messages.h"

namespace quorate::sim::full {
namespace {

namespace etcd = machine::etcd;
using etcd::CommandKind;
using Kind = Operation::Kind;

constexpr uint64_t kStranger = UINT64_MAX;  // the client of the ending

Duration latency(Rng& rng) {
  return Duration(rng.between(20'000, 400'000));  // 20 to 400 microseconds
}

}  // namespace

Clients::Clients(Cluster& cluster, Rng rng)
    : cluster_(cluster), rng_(rng), clients_(cluster.swarm().clients) {}

void Clients::start() {
  asking_ = true;
  for (uint64_t client = 0; client < clients_.size(); ++client) {
    clients_[client].member = rng_.below(cluster_.size());
    think(client);
  }
}

void Clients::think(uint64_t client) {
  const auto pause = static_cast<uint64_t>(cluster_.swarm().think.count());
  cluster_.at(cluster_.now() + Duration(rng_.below(2 * pause + 1)),
              [this, client] { act(client); });
}

void Clients::act(uint64_t client) {
  if (!asking_) return;
  if (quiet_) return think(client);
  Operation operation = draw(client);
  clients_[client].open = operation.number;
  open_.emplace(operation.number, operation);
  send(operation);
}

void Clients::set_cut(uint64_t client, uint64_t member, bool cut) {
  if (cut) {
    cuts_.emplace(client, member);
  } else {
    cuts_.erase({client, member});
  }
}

// ---- What they ask.

void Clients::draw_request(Operation& operation) {
  const Model& model = cluster_.truth().model();
  if (operation.kind != Kind::write) {
    operation.bytes = draw_query(rng_, cluster_.swarm(), model);
    return;
  }
  Command command = draw_command(rng_, cluster_.swarm(), model, operation.number);
  operation.command_kind = command.kind;
  operation.bytes = std::move(command.bytes);
  operation.print = hash_text(operation.bytes.view());
}

Operation Clients::draw(uint64_t client) {
  const FullSwarm& swarm = cluster_.swarm();
  Operation operation;
  operation.number = next_number_++;
  operation.client = client;
  if (rng_.chance_per_million(swarm.strangers)) {
    clients_[client].member = rng_.below(cluster_.size());
  }
  operation.member = clients_[client].member;
  if (rng_.chance_per_million(swarm.reads)) {
    const bool serializable = rng_.chance_per_million(swarm.serializable);
    operation.kind = serializable ? Kind::serializable_read : Kind::read;
  }
  draw_request(operation);
  return operation;
}

void Clients::ask(uint64_t member, Kind kind) {
  Operation operation;
  operation.number = next_number_++;
  operation.client = kStranger;
  operation.member = member;
  operation.kind = kind;
  draw_request(operation);
  open_.emplace(operation.number, operation);
  send(operation);
}

void Clients::write(uint64_t member, Command command, std::function<void(Heard)> then) {
  Operation operation;
  operation.number = next_number_++;
  operation.client = kStranger;
  operation.member = member;
  operation.command_kind = command.kind;
  operation.bytes = std::move(command.bytes);
  operation.print = hash_text(operation.bytes.view());
  operation.then = std::move(then);
  open_.emplace(operation.number, operation);
  send(operation);
}

void Clients::ask_lease(uint64_t member, Kind kind, int64_t lease,
                        std::function<void(Heard)> then) {
  Operation operation;
  operation.number = next_number_++;
  operation.client = kStranger;
  operation.member = member;
  operation.kind = kind;
  operation.lease = lease;
  operation.then = std::move(then);
  open_.emplace(operation.number, operation);
  send(operation);
}

// ---- There and back.

void Clients::travel(const Operation& operation, world::Task arrival) {
  const std::pair route(operation.client, operation.member);
  cluster_.at(cluster_.now() + latency(rng_),
              [this, route, arrival = std::move(arrival)]() mutable {
                if (!cuts_.contains(route)) arrival();
              });
}

void Clients::send(const Operation& drawn) {
  Operation& operation = open_.at(drawn.number);
  const Truth& truth = cluster_.truth();
  operation.invoked = cluster_.now();
  operation.floor = Index{truth.size()};
  operation.floor_revision = truth.model().revision();
  operation.floor_compacted = truth.model().compacted();
  const uint64_t number = operation.number;
  cluster_.say(NodeId{}, [&] {
    if (operation.lease != 0)
      return "lease " + std::to_string(operation.lease) + " of " + name_of(operation);
    return std::string(operation.kind == Kind::write ? "write" : "read") + " " + name_of(operation);
  });
  cluster_.at(cluster_.now() + cluster_.swarm().patience, [this, number] { give_up(number); });
  travel(operation, [this, number] {
    const auto found = open_.find(number);
    if (found == open_.end()) return;
    const uint64_t member = found->second.member;
    if (!cluster_.up(member)) {  // the connection is refused: it surely never got there
      return travel(found->second, [this, number] { hear_write(number, node::RefusedOutcome{}); });
    }
    const uint64_t starts = cluster_.member(member).starts;
    cluster_.executor(member).post([this, number, member, starts] {
      const auto there = open_.find(number);
      if (there == open_.end() || !cluster_.up(member)) return;
      if (cluster_.member(member).starts == starts) serve(there->second);
    });
  });
}

// In the member's own turn.
void Clients::serve(const Operation& operation) {
  node::Node& node = *cluster_.member(operation.member).node;
  const uint64_t number = operation.number;
  const Time deadline = cluster_.executor(operation.member).now() + cluster_.swarm().patience;
  const auto answer = [this, number](std::optional<node::RefusedWhy> why, machine::Reply reply) {
    const auto found = open_.find(number);
    if (found == open_.end()) return;
    travel(found->second,
           [this, number, why, reply = std::move(reply)] { hear_read(number, why, reply); });
  };
  switch (operation.kind) {
    case Kind::write:
      return node.propose(operation.bytes, deadline, [this, number](node::Outcome outcome) {
        const auto found = open_.find(number);
        if (found == open_.end()) return;
        travel(found->second, [this, number, outcome = std::move(outcome)]() mutable {
          hear_write(number, std::move(outcome));
        });
      });
    case Kind::read:
      return node.read_barrier(
          deadline, [&node, answer, query = operation.bytes](std::optional<node::RefusedWhy> why) {
            machine::Reply reply;
            if (!why) node.query(query, reply);
            answer(why, std::move(reply));
          });
    case Kind::serializable_read: {
      machine::Reply reply;
      node.query(operation.bytes, reply);
      return answer(std::nullopt, std::move(reply));
    }
    case Kind::renew:
    case Kind::look: {
      const auto wish =
          operation.kind == Kind::renew ? node::LeaseWish::renew : node::LeaseWish::look;
      return node.ask_lease(
          wish, operation.lease, deadline, [this, number](const node::LeaseOutcome& outcome) {
            const auto found = open_.find(number);
            if (found == open_.end()) return;
            travel(found->second, [this, number, outcome] { hear_lease(number, outcome); });
          });
    }
  }
}

void Clients::hear_write(uint64_t number, node::Outcome outcome) {
  const auto found = open_.find(number);
  if (found == open_.end()) return;
  const Operation operation = found->second;
  if (const auto* applied = std::get_if<node::Applied>(&outcome)) {
    if (operation.kind == Kind::write) {
      ++acknowledged_;
      judge_write(operation, *applied);
    }
    say(operation, "applied");
    return finish(operation, Heard::done);
  }
  if (std::holds_alternative<node::RefusedOutcome>(outcome)) {
    ++refused_;
    say(operation, "refused");
    if (operation.kind == Kind::write && operation.command_kind != CommandKind::compact) {
      cluster_.truth().surely_not(operation.print, name_of(operation));
    }
    return finish(operation, Heard::refused);
  }
  ++unknown_;
  say(operation, "unknown");
  finish(operation, Heard::unknown);
}

void Clients::hear_read(uint64_t number, std::optional<node::RefusedWhy> why,
                        const machine::Reply& reply) {
  const auto found = open_.find(number);
  if (found == open_.end()) return;
  const Operation operation = found->second;
  say(operation, why ? "refused" : "read");
  if (why) {
    ++refused_;
  } else {
    if (operation.kind == Kind::read) ++served_;
    judge_read(operation, reply);
  }
  finish(operation, why ? Heard::refused : Heard::done);
}

void Clients::hear_lease(uint64_t number, const node::LeaseOutcome& outcome) {
  const auto found = open_.find(number);
  if (found == open_.end()) return;
  const Operation operation = found->second;
  const auto* life = std::get_if<node::LeaseLife>(&outcome);
  if (life == nullptr) {
    ++refused_;
    say(operation, "refused");
    return finish(operation, Heard::refused);
  }
  say(operation, life->found ? "alive" : "gone");
  judge_lease(operation, *life);
  finish(operation, life->found ? Heard::done : Heard::absent);
}

void Clients::give_up(uint64_t number) {
  const auto found = open_.find(number);
  if (found == open_.end()) return;
  ++unknown_;
  const Operation operation = found->second;
  say(operation, "no answer");
  finish(operation, Heard::unknown);
}

void Clients::say(const Operation& operation, const char* answer) const {
  cluster_.say(NodeId{}, [&] { return std::string(answer) + " to " + name_of(operation); });
}

void Clients::finish(const Operation& operation, Heard heard) {
  const bool change_member = heard == Heard::refused || heard == Heard::unknown;
  open_.erase(operation.number);
  answers_hash_ = mix(answers_hash_, operation.number * 2 + (change_member ? 1 : 0));
  if (operation.then) operation.then(heard);
  if (operation.client == kStranger) return;
  Client& client = clients_[operation.client];
  client.open = 0;
  if (change_member)
    client.member = (client.member + 1 + rng_.below(cluster_.size())) % cluster_.size();
  think(operation.client);
}

// ---- The judge.

std::string Clients::name_of(const Operation& operation) const {
  return "request " + std::to_string(operation.number) + " to member " +
         std::to_string(Cluster::id_of(operation.member).value);
}

void Clients::wrong(const Operation& operation, const std::string& text) {
  cluster_.truth().violated(NodeId{}, name_of(operation) + ": " + text);
}

void Clients::judge_write(const Operation& operation, const node::Applied& applied) {
  const Truth::Decided* decided = cluster_.truth().at(applied.index);
  const std::string where = "entry " + std::to_string(applied.index.value);
  answers_hash_ = mix(answers_hash_, applied.index.value);
  if (decided == nullptr) return wrong(operation, "acknowledged as " + where + ", not applied");
  if (decided->fingerprint != operation.print) {
    return wrong(operation, "acknowledged as " + where + ", but that is something else");
  }
  if (applied.index <= operation.floor) {
    return wrong(operation, "acknowledged as " + where + ", but " +
                                std::to_string(operation.floor.value) +
                                " entries had been applied before it was asked for");
  }
  if (!acknowledged_places_.insert(applied.index).second) {
    return wrong(operation, "acknowledged as " + where + ", which was acknowledged before");
  }
  const std::string heard = answer_text(operation.command_kind, applied.reply);
  if (heard != decided->answer) {
    wrong(operation, "heard \"" + heard + "\" instead of \"" + decided->answer + "\"");
  }
}

void Clients::judge_lease(const Operation& operation, const node::LeaseLife& life) {
  LeaseRules& rules = cluster_.truth().leases();
  answers_hash_ = mix(answers_hash_, static_cast<uint64_t>(life.left_seconds));
  std::string broken;
  if (!life.found) {
    broken = rules.on_absent(operation.invoked, operation.lease);
  } else if (operation.kind == Kind::renew) {
    broken = rules.on_renewed(operation.invoked, operation.lease, life.granted_seconds);
  } else {
    broken = rules.on_seen(operation.invoked, operation.lease, life.granted_seconds);
  }
  if (!broken.empty()) wrong(operation, broken);
}

void Clients::judge_read(const Operation& operation, const machine::Reply& reply) {
  const Model& model = cluster_.truth().model();
  const std::string heard = range_text(reply);
  answers_hash_ = mix(answers_hash_, hash_text(heard));
  if (reply.revision > model.revision()) {
    return wrong(operation, "answered from revision " + std::to_string(reply.revision) +
                                ", which nobody has reached");
  }
  if (operation.kind == Kind::read && reply.revision < operation.floor_revision) {
    return wrong(operation, "a stale read: revision " + std::to_string(reply.revision) + ", but " +
                                std::to_string(operation.floor_revision) +
                                " was reached before it was asked for");
  }
  const auto query = etcd::open_query(operation.bytes.view());
  const auto request = etcd::decode_range_request(query->request);
  CHECK(request.has_value(), "what was encoded here can be decoded");
  // Compactions have no revision of their own: the reader may have seen any since the floor, and
  // a serializable one any at all.
  const int64_t seen_least = operation.kind == Kind::read ? operation.floor_compacted : -1;
  const std::string before = model.read(*request, reply.revision, seen_least);
  if (heard == before) return;
  if (heard == model.read(*request, reply.revision, model.compacted())) return;
  wrong(operation, "read \"" + heard + "\" instead of \"" + before + "\"");
}

}  // namespace quorate::sim::full
