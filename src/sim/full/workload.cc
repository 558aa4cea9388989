#include "sim/full/workload.h"

#include <algorithm>

#include "machine/etcd/messages.h"

namespace quorate::sim::full {
namespace {

namespace etcd = machine::etcd;
using etcd::CommandKind;

constexpr std::string_view kEverything("\0", 1);

template <class Request>
std::string wire(const Request& request) {
  std::string text;
  etcd::encode(request, text);
  return text;
}

template <class Request>
Command command(CommandKind kind, const Request& request) {
  return {kind, etcd::make_command(kind, wire(request))};
}

etcd::Compare compare(etcd::Compare::Target target, std::string_view key, int64_t number) {
  etcd::Compare one;
  one.target = static_cast<int32_t>(target);
  one.key = key;
  one.number = number;
  return one;
}

etcd::PutRequest put(std::string_view key, std::string_view value, bool prev) {
  etcd::PutRequest request;
  request.key = key;
  request.value = value;
  request.prev_kv = prev;
  return request;
}

etcd::RangeRequest range(std::string_view key, std::string_view end) {
  etcd::RangeRequest request;
  request.key = key;
  request.range_end = end;
  return request;
}

std::string draw_key(Rng& rng, const FullSwarm& swarm) {
  return "k" + std::to_string(rng.below(swarm.keys));
}

std::string draw_value(Rng& rng, const FullSwarm& swarm, uint64_t number) {
  std::string value = "v" + std::to_string(number);
  const uint64_t size = rng.below(swarm.value_bytes_max + 1);
  if (value.size() < size) value.resize(size, '.');
  return value;
}

Command draw_compaction(Rng& rng, const Model& model) {
  const auto back = static_cast<int64_t>(rng.below(20));
  etcd::CompactionRequest request;
  request.revision = std::max<int64_t>(1, model.revision() - back);
  return command(CommandKind::compact, request);
}

// A deletion alone has no place for a number: this comparison always holds.
Command draw_deletion(Rng& rng, const std::string& key, uint64_t number) {
  const std::string token = "~" + std::to_string(number);
  etcd::TxnRequest txn;
  txn.compare.push_back(compare(etcd::Compare::Target::version, token, 0));
  etcd::DeleteRangeRequest remove;
  remove.key = key;
  remove.prev_kv = rng.below(2) == 0;
  if (rng.below(8) == 0) remove.range_end = kEverything;
  txn.success.emplace_back().request = remove;
  return command(CommandKind::txn, txn);
}

Command draw_transaction(Rng& rng, const FullSwarm& swarm, const Model& model,
                         const std::string& value) {
  const std::string key = draw_key(rng, swarm);
  const std::string other = draw_key(rng, swarm);
  const auto guess = static_cast<int64_t>(rng.below(4));
  etcd::TxnRequest txn;
  if (rng.below(2) == 0) {
    txn.compare.push_back(compare(etcd::Compare::Target::version, key, guess));
  } else {
    const int64_t revision = std::max<int64_t>(0, model.revision() - guess);
    txn.compare.push_back(compare(etcd::Compare::Target::mod, key, revision));
  }
  txn.success.emplace_back().request = put(key, value, true);
  if (other != key) txn.success.emplace_back().request = put(other, value, false);
  txn.success.emplace_back().request = range("k", "l");
  txn.failure.emplace_back().request = range(key, {});
  // The branch not taken says who asked.
  txn.failure.emplace_back().request = range(value, {});
  return command(CommandKind::txn, txn);
}

}  // namespace

Command draw_command(Rng& rng, const FullSwarm& swarm, const Model& model, uint64_t number) {
  if (rng.chance_per_million(swarm.compactions)) return draw_compaction(rng, model);
  const uint64_t dice = rng.below(1'000'000);
  if (dice < swarm.deletes) return draw_deletion(rng, draw_key(rng, swarm), number);
  const std::string value = draw_value(rng, swarm, number);
  if (dice < swarm.deletes + swarm.transactions) {
    return draw_transaction(rng, swarm, model, value);
  }
  const std::string key = draw_key(rng, swarm);
  return command(CommandKind::put, put(key, value, rng.below(3) == 0));
}

Bytes draw_query(Rng& rng, const FullSwarm& swarm, const Model& model) {
  const std::string key = draw_key(rng, swarm);
  etcd::RangeRequest request = range(key, {});
  if (rng.below(3) == 0) {
    request = range("k", "l");
    if (rng.below(3) == 0) request.limit = static_cast<int64_t>(1 + rng.below(4));
  }
  if (rng.below(6) == 0) {
    const auto back = static_cast<int64_t>(rng.below(30));
    request.revision = std::max<int64_t>(0, model.revision() - back);
  }
  return etcd::make_query(etcd::QueryKind::range, wire(request));
}

}  // namespace quorate::sim::full
