#include "sim/full/lease_holders.h"

#include "machine/etcd/lease_messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::sim::full {
namespace {

namespace etcd = machine::etcd;
using etcd::CommandKind;

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
// A field that no message has and every decoder skips: it tells one request from another.
constexpr uint32_t kNumberField = 1999;

}  // namespace

LeaseHolders::LeaseHolders(Cluster& cluster, Clients& clients, Rng rng)
    : cluster_(cluster), clients_(clients), rng_(rng), holders_(cluster.swarm().lease_holders) {}

void LeaseHolders::start() {
  for (uint64_t holder = 0; holder < holders_.size(); ++holder) {
    holders_[holder].member = rng_.below(cluster_.size());
    holders_[holder].lease = static_cast<int64_t>(100 + holder);
    later(holder, cluster_.swarm().election_timeout, &LeaseHolders::begin);
  }
}

void LeaseHolders::later(uint64_t holder, Duration pause, void (LeaseHolders::*step)(uint64_t)) {
  cluster_.at(cluster_.now() + pause, [this, holder, step] {
    if (clients_.asking()) (this->*step)(holder);
  });
}

Duration LeaseHolders::part_of_time(const Holder& holder, uint64_t percent) {
  return Duration(holder.seconds * kNanosecondsPerSecond / 100 * static_cast<int64_t>(percent));
}

void LeaseHolders::write(uint64_t holder, CommandKind kind, std::string_view request,
                         std::function<void(Heard)> then) {
  std::string unique(request);
  protobuf::write_number(kNumberField, static_cast<int64_t>(clients_.next_number()), unique);
  clients_.write(holders_[holder].member, {kind, etcd::make_command(kind, unique)},
                 [this, holder, then = std::move(then)](Heard heard) {
                   if (heard != Heard::done) {
                     holders_[holder].member = rng_.below(cluster_.size());
                   }
                   then(heard);
                 });
}

void LeaseHolders::begin(uint64_t holder) {
  Holder& one = holders_[holder];
  if (rng_.below(3) == 0) one.lease += 100;
  one.seconds = static_cast<int64_t>(
      rng_.between(1, static_cast<uint64_t>(cluster_.swarm().lease_seconds_max)));
  grant(holder);
}

void LeaseHolders::grant(uint64_t holder) {
  std::string request;
  etcd::encode(etcd::LeaseGrantRequest{holders_[holder].seconds, holders_[holder].lease}, request);
  write(holder, CommandKind::lease_grant, request, [this, holder](Heard heard) {
    const auto next = heard == Heard::refused ? &LeaseHolders::grant : &LeaseHolders::attach;
    later(holder, cluster_.swarm().think, next);
  });
}

void LeaseHolders::attach(uint64_t holder) {
  const uint64_t key = rng_.below(2) == 0 ? rng_.below(cluster_.swarm().keys) : 1000 + holder;
  const std::string name = "k" + std::to_string(key);
  etcd::PutRequest put;
  put.key = name;
  put.value = "held";
  put.lease = holders_[holder].lease;
  put.prev_kv = rng_.below(2) == 0;
  std::string request;
  encode(put, request);
  write(holder, CommandKind::put, request, [this, holder](Heard) {
    later(holder, part_of_time(holders_[holder], 30), &LeaseHolders::act);
  });
}

void LeaseHolders::act(uint64_t holder) {
  const uint64_t dice = rng_.below(100);
  if (dice < 4) return revoke(holder);
  // Forgotten: it must end by itself, and may then be granted anew, or a little before that.
  if (dice < 14) return later(holder, part_of_time(holders_[holder], 95), &LeaseHolders::begin);
  if (dice < 24) return attach(holder);
  ask(holder, dice < 40 ? Operation::Kind::look : Operation::Kind::renew);
}

void LeaseHolders::revoke(uint64_t holder) {
  std::string request;
  etcd::encode(etcd::LeaseRevokeRequest{holders_[holder].lease, 0}, request);
  write(holder, CommandKind::lease_revoke, request,
        [this, holder](Heard) { later(holder, cluster_.swarm().think, &LeaseHolders::begin); });
}

void LeaseHolders::ask(uint64_t holder, Operation::Kind kind) {
  clients_.ask_lease(holders_[holder].member, kind, holders_[holder].lease,
                     [this, holder](Heard heard) {
                       Holder& one = holders_[holder];
                       if (heard == Heard::absent) {
                         return later(holder, cluster_.swarm().think, &LeaseHolders::begin);
                       }
                       if (heard != Heard::done) one.member = rng_.below(cluster_.size());
                       // Mostly in time, now and then at the last moment.
                       const uint64_t percent = rng_.below(4) == 0 ? 70 + rng_.below(40) : 30;
                       later(holder, part_of_time(one, percent), &LeaseHolders::act);
                     });
}

}  // namespace quorate::sim::full
