#include "sim/full/truth.h"

#include <algorithm>
#include <bit>

#include "machine/etcd/envelope.h"
#include "machine/etcd/lease_messages.h"

namespace quorate::sim::full {
namespace {

namespace etcd = machine::etcd;

// Hashing every row after every batch would cost more than all the rest, and the more the longer
// the history; and what is compared is what two members show at the same index, so all look at
// the same ones: sixteen or more between each power of two and the next.
constexpr uint64_t kHashEvery = 16;

bool is_hashed(Index applied) {
  const uint64_t every = std::max(kHashEvery, std::bit_floor(applied.value) / 16);
  return applied.value % every == 0;
}

// Compactions carry nothing that tells one from another. What leaders do by themselves about a life
// of a lease may be done by two of them, one after the other.
bool is_named(const etcd::OpenedCommand& command) {
  if (command.kind == etcd::CommandKind::lease_revoke) {
    const auto revoke = etcd::decode_lease_revoke_request(command.request);
    return revoke && revoke->life == 0;
  }
  return command.kind != etcd::CommandKind::compact &&
         command.kind != etcd::CommandKind::lease_checkpoint;
}

}  // namespace

void Truth::violated(NodeId node, const std::string& text) {
  if (!violation_.empty()) return;
  violation_ = node ? "member " + std::to_string(node.value) + ": " + text : text;
}

Index Truth::place_of(uint64_t command_fingerprint) const {
  const auto found = places_.find(command_fingerprint);
  return found == places_.end() ? Index{} : found->second;
}

void Truth::surely_not(uint64_t command_fingerprint, const std::string& who) {
  never_.emplace(command_fingerprint, who);
  if (const Index index = place_of(command_fingerprint)) {
    violated(NodeId{}, who + " was told that its write surely was not applied, but it is entry " +
                           std::to_string(index.value));
  }
}

void Truth::compare_hash(NodeId node, Index applied, uint32_t hash) {
  const auto [place, fresh] = hashes_.emplace(applied.value, hash);
  if (fresh) return;
  ++hashes_compared_;
  if (place->second == hash) return;
  violated(node, "has another state hash than a member before it at index " +
                     std::to_string(applied.value));
}

void Truth::on_opened(NodeId node, Index applied, uint32_t hash) {
  applied_[node] = applied;
  if (applied.value > decided_.size()) {
    return violated(node, "opened a store of index " + std::to_string(applied.value) +
                              ", but nobody has applied more than " +
                              std::to_string(decided_.size()));
  }
  if (is_hashed(applied)) compare_hash(node, applied, hash);
}

void Truth::on_batch(NodeId node, Index applied, const std::function<uint32_t()>& hash) {
  if (is_hashed(applied)) compare_hash(node, applied, hash());
}

void Truth::follow_lease(NodeId node, Index index, const etcd::OpenedCommand& command) {
  const Time now = clock_ ? clock_() : Time{};
  if (command.kind == etcd::CommandKind::lease_grant) {
    const auto grant = etcd::decode_lease_grant_request(command.request);
    const auto* lease = grant ? model_.lease(grant->id) : nullptr;
    if (lease != nullptr && lease->life == index.value) {
      leases_.on_granted(now, grant->id, grant->ttl);
    }
  } else if (command.kind == etcd::CommandKind::lease_revoke && model_.ended_lease() != 0) {
    const auto revoke = etcd::decode_lease_revoke_request(command.request);
    const std::string broken = leases_.on_ended(now, revoke->id, revoke->life == 0);
    if (!broken.empty()) violated(node, broken);
  }
}

void Truth::decide(NodeId node, uint64_t round, consensus::EntryKind kind, std::string_view data) {
  Decided next{.kind = kind, .round = round, .fingerprint = 0, .revision = 1, .answer = {}};
  const Index index{decided_.size() + 1};
  if (by_round_ && !decided_.empty() && round < decided_.back().round) {
    violated(node, "entry " + std::to_string(index.value) + " is of round " +
                       std::to_string(round) + ", the one before it of " +
                       std::to_string(decided_.back().round));
  }
  if (kind == consensus::EntryKind::command) {
    next.answer = model_.apply(data, index);
    const auto opened = machine::etcd::open_command(data);
    if (opened) follow_lease(node, index, *opened);
    const bool named = opened && is_named(*opened);
    next.fingerprint = hash_text(data);
    const auto [place, fresh] = places_.emplace(next.fingerprint, index);
    if (!fresh && named) {
      violated(node, "the write of entry " + std::to_string(place->second.value) +
                         " is applied once more as entry " + std::to_string(index.value));
    }
    if (const auto refused = never_.find(next.fingerprint); refused != never_.end() && named) {
      violated(node, refused->second + " was told that its write surely was not applied, now it " +
                         "is entry " + std::to_string(index.value));
    }
  } else if (kind == consensus::EntryKind::members) {
    next.fingerprint = hash_text(data);
    members_ = data;
  }
  next.revision = model_.revision();
  decided_.push_back(std::move(next));
}

void Truth::on_apply(NodeId node, Index index, uint64_t round, consensus::EntryKind kind,
                     std::string_view data) {
  Index& applied = applied_[node];
  if (index != applied.next()) {
    violated(node, "applies entry " + std::to_string(index.value) + " after entry " +
                       std::to_string(applied.value));
  }
  applied = index;
  if (index.value > decided_.size()) {
    if (index.value == decided_.size() + 1) return decide(node, round, kind, data);
    return violated(node, "applies entry " + std::to_string(index.value) +
                              ", but nobody has applied the one before it");
  }
  const Decided& known = decided_[index.value - 1];
  const uint64_t print = kind == consensus::EntryKind::noop ? 0 : hash_text(data);
  if (known.kind == kind && (known.round == round || !by_round_) && known.fingerprint == print)
    return;
  violated(node, "applies something else as entry " + std::to_string(index.value) +
                     " than a member before it: round " + std::to_string(round) + " against " +
                     std::to_string(known.round));
}

}  // namespace quorate::sim::full
