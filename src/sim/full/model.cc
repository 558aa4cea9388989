#include "sim/full/model.h"

#include <algorithm>

#include "machine/etcd/lease_messages.h"

namespace quorate::sim::full {
namespace {

namespace etcd = machine::etcd;

std::string pair_text(std::string_view key, std::string_view value, int64_t create, int64_t mod,
                      int64_t version, int64_t lease) {
  std::string text = " ";
  text += key;
  text += "=";
  text += value;
  for (const int64_t number : {create, mod, version}) text += "/" + std::to_string(number);
  if (lease != 0) text += "~" + std::to_string(lease);
  return text;
}

std::string pair_text(const etcd::KeyValue& pair) {
  return pair_text(pair.key, pair.value, pair.create_revision, pair.mod_revision, pair.version,
                   pair.lease);
}

std::string text_of(const etcd::RangeResponse& response) {
  std::string text = "range " + std::to_string(response.count) + (response.more ? "+" : "");
  for (const etcd::KeyValue& pair : response.kvs) text += pair_text(pair);
  return text;
}

std::string text_of(const etcd::PutResponse& response) {
  return response.prev_kv ? "put" + pair_text(*response.prev_kv) : "put";
}

std::string text_of(const etcd::DeleteRangeResponse& response) {
  std::string text = "deleted " + std::to_string(response.deleted);
  for (const etcd::KeyValue& pair : response.prev_kvs) text += pair_text(pair);
  return text;
}

std::string text_of(const etcd::TxnResponse& response) {
  std::string text = response.succeeded ? "yes" : "no";
  for (const etcd::ResponseOp& one : response.responses) {
    text += "; ";
    if (const auto* range = std::get_if<etcd::RangeResponse>(&one.response)) {
      text += text_of(*range);
    } else if (const auto* put = std::get_if<etcd::PutResponse>(&one.response)) {
      text += text_of(*put);
    } else if (const auto* removed = std::get_if<etcd::DeleteRangeResponse>(&one.response)) {
      text += text_of(*removed);
    }
  }
  return text;
}

std::string at(int64_t revision, const std::string& text) {
  return "@" + std::to_string(revision) + " " + text;
}

std::string error_text(etcd::Code code) {
  return "error " + std::to_string(static_cast<int>(code));
}

std::string deletion_text(std::string_view key, int64_t revision) {
  return " -" + std::string(key) + "/" + std::to_string(revision);
}

bool inside(std::string_view key, std::string_view first, std::string_view end) {
  if (end.empty()) return key == first;
  return key >= first && (end == std::string_view("\0", 1) || key < end);
}

}  // namespace

const Model::Version* Model::at_revision(const Versions& versions, int64_t revision) {
  const auto after = std::ranges::upper_bound(versions, revision, {}, &Version::mod);
  if (after == versions.begin()) return nullptr;
  const Version& found = *std::prev(after);
  return found.version == 0 ? nullptr : &found;
}

const Model::Version* Model::newest(std::string_view key) const {
  const auto found = keys_.find(key);
  if (found == keys_.end() || found->second.back().version == 0) return nullptr;
  return &found->second.back();
}

std::string Model::text_of(std::string_view key, const Version& version) {
  return pair_text(key, version.value, version.create, version.mod, version.version, version.lease);
}

std::string Model::listing(const etcd::RangeRequest& request, int64_t revision) const {
  int64_t count = 0;
  std::string pairs;
  for (auto key = keys_.lower_bound(request.key); key != keys_.end(); ++key) {
    if (!inside(key->first, request.key, request.range_end)) break;
    const Version* version = at_revision(key->second, revision);
    if (version == nullptr) continue;
    ++count;
    if (request.limit > 0 && count > request.limit) continue;
    pairs += text_of(key->first, *version);
  }
  const bool more = request.limit > 0 && count > request.limit;
  return "range " + std::to_string(count) + (more ? "+" : "") + pairs;
}

bool Model::change(const std::string& key, std::string_view value, bool deleted, int64_t lease) {
  const Version* before = newest(key);
  if (deleted && before == nullptr) return false;
  Version next{
      .create = revision_ + 1, .mod = revision_ + 1, .version = 0, .lease = 0, .value = {}};
  if (!deleted) {
    next.version = 1;
    next.lease = lease;
    next.value = value;
    if (before != nullptr) {
      next.create = before->create;
      next.version = before->version + 1;
    }
  }
  changes_.push_back({.revision = next.mod,
                      .removed = deleted,
                      .key = key,
                      .text = deleted ? deletion_text(key, next.mod) : text_of(key, next),
                      .previous = before == nullptr ? std::string() : text_of(key, *before)});
  keys_[key].push_back(std::move(next));
  lease_of_key_.erase(key);
  if (lease != 0) lease_of_key_[key] = lease;
  changed_ = true;
  return true;
}

std::string Model::put(const etcd::PutRequest& request) {
  if (request.lease != 0 && !leases_.contains(request.lease)) {
    return error_text(etcd::Code::lease_not_found);
  }
  std::string text = "put";
  if (const Version* before = newest(request.key); before != nullptr && request.prev_kv) {
    text += text_of(request.key, *before);
  }
  change(std::string(request.key), request.value, false, request.lease);
  return text;
}

std::string Model::remove(const etcd::DeleteRangeRequest& request) {
  int64_t deleted = 0;
  std::string pairs;
  std::vector<std::string> names;
  for (auto key = keys_.lower_bound(request.key); key != keys_.end(); ++key) {
    if (!inside(key->first, request.key, request.range_end)) break;
    names.push_back(key->first);
  }
  for (const std::string& name : names) {
    const Version* before = newest(name);
    if (before == nullptr) continue;
    if (request.prev_kv) {
      pairs += text_of(name, *before);
    }
    if (change(name, {}, true)) ++deleted;
  }
  return "deleted " + std::to_string(deleted) + pairs;
}

bool Model::holds(const etcd::Compare& compare) const {
  const Version* version = newest(compare.key);
  const auto target = static_cast<etcd::Compare::Target>(compare.target);
  if (target == etcd::Compare::Target::value) {
    return version != nullptr && version->value == compare.value;
  }
  int64_t number = 0;
  if (version != nullptr) {
    number = target == etcd::Compare::Target::mod ? version->mod : version->version;
  }
  return number == compare.number;
}

std::string Model::run(const etcd::RequestOp& operation) {
  if (const auto* range = std::get_if<etcd::RangeRequest>(&operation.request)) {
    return listing(*range, view());
  }
  if (const auto* one = std::get_if<etcd::PutRequest>(&operation.request)) return put(*one);
  if (const auto* one = std::get_if<etcd::DeleteRangeRequest>(&operation.request)) {
    return remove(*one);
  }
  return "unknown operation";
}

std::string Model::transact(const etcd::TxnRequest& request) {
  const bool holds_all =
      std::ranges::all_of(request.compare, [&](const auto& compare) { return holds(compare); });
  std::string text = holds_all ? "yes" : "no";
  for (const etcd::RequestOp& operation : holds_all ? request.success : request.failure) {
    text += "; " + run(operation);
  }
  return text;
}

std::string Model::compact(std::string_view request) {
  const auto wanted = etcd::decode_compaction_request(request);
  if (!wanted) return error_text(etcd::Code::malformed);
  if (wanted->revision <= compacted_) return error_text(etcd::Code::compacted);
  if (wanted->revision > revision_) return error_text(etcd::Code::future_revision);
  compacted_ = wanted->revision;
  return "compacted";
}

std::string Model::change_lease(const etcd::OpenedCommand& command, Index index) {
  if (command.kind == etcd::CommandKind::lease_checkpoint) return "noted";
  if (command.kind == etcd::CommandKind::lease_grant) {
    const auto wanted = etcd::decode_lease_grant_request(command.request);
    if (!wanted || wanted->id == 0 || wanted->ttl < 1) return error_text(etcd::Code::malformed);
    if (!leases_.emplace(wanted->id, Lease{wanted->ttl, index.value}).second) {
      return error_text(etcd::Code::lease_exists);
    }
    return "granted " + std::to_string(wanted->id) + " for " + std::to_string(wanted->ttl);
  }
  const auto wanted = etcd::decode_lease_revoke_request(command.request);
  if (!wanted) return error_text(etcd::Code::malformed);
  const Lease* known = lease(wanted->id);
  if (known == nullptr || (wanted->life != 0 && wanted->life != known->life)) {
    return error_text(etcd::Code::lease_not_found);
  }
  leases_.erase(wanted->id);
  ended_lease_ = wanted->id;
  const auto attached = lease_of_key_;
  for (const auto& [key, lease] : attached) {
    if (lease == wanted->id) change(key, {}, true);
  }
  return "revoked";
}

std::string Model::apply(std::string_view command, Index index) {
  ended_lease_ = 0;
  const auto opened = etcd::open_command(command);
  if (!opened) return at(revision_, error_text(etcd::Code::malformed));
  std::string text = error_text(etcd::Code::malformed);
  switch (opened->kind) {
    case etcd::CommandKind::put:
      if (const auto request = etcd::decode_put_request(opened->request)) text = put(*request);
      break;
    case etcd::CommandKind::delete_range:
      if (const auto request = etcd::decode_delete_range_request(opened->request)) {
        text = remove(*request);
      }
      break;
    case etcd::CommandKind::txn:
      if (const auto request = etcd::decode_txn_request(opened->request)) {
        text = transact(*request);
      }
      break;
    case etcd::CommandKind::compact:
      text = compact(opened->request);
      break;
    case etcd::CommandKind::member_attributes:
      text = "published";
      break;
    case etcd::CommandKind::alarm:
    case etcd::CommandKind::auth:
      break;  // no client of the simulator does that
    case etcd::CommandKind::lease_grant:
    case etcd::CommandKind::lease_revoke:
    case etcd::CommandKind::lease_checkpoint:
      text = change_lease(*opened, index);
      break;
  }
  if (changed_) ++revision_;
  changed_ = false;
  return at(revision_, text);
}

std::string Model::read(const etcd::RangeRequest& request, int64_t current,
                        int64_t compacted) const {
  if (request.revision > current) return at(current, error_text(etcd::Code::future_revision));
  if (request.revision > 0 && request.revision < compacted) {
    return at(current, error_text(etcd::Code::compacted));
  }
  return at(current, listing(request, request.revision > 0 ? request.revision : current));
}

std::string answer_text(etcd::CommandKind kind, const machine::Reply& reply) {
  if (reply.code != 0) {
    return at(reply.revision, error_text(static_cast<etcd::Code>(reply.code)));
  }
  std::string text = "malformed answer";
  switch (kind) {
    case etcd::CommandKind::put:
      if (const auto response = etcd::decode_put_response(reply.body.view())) {
        text = text_of(*response);
      }
      break;
    case etcd::CommandKind::delete_range:
      if (const auto response = etcd::decode_delete_range_response(reply.body.view())) {
        text = text_of(*response);
      }
      break;
    case etcd::CommandKind::txn:
      if (const auto response = etcd::decode_txn_response(reply.body.view())) {
        text = text_of(*response);
      }
      break;
    case etcd::CommandKind::compact:
      text = "compacted";
      break;
    case etcd::CommandKind::member_attributes:
      text = "published";
      break;
    case etcd::CommandKind::alarm:
    case etcd::CommandKind::auth:
      break;  // no client of the simulator does that
    case etcd::CommandKind::lease_grant:
      if (const auto response = etcd::decode_lease_grant_response(reply.body.view())) {
        text = "granted " + std::to_string(response->id) + " for " + std::to_string(response->ttl);
      }
      break;
    case etcd::CommandKind::lease_revoke:
      text = "revoked";
      break;
    case etcd::CommandKind::lease_checkpoint:
      text = "noted";
      break;
  }
  return at(reply.revision, text);
}

std::string change_text(bool removed, const etcd::KeyValue& pair) {
  return removed ? deletion_text(pair.key, pair.mod_revision) : pair_text(pair);
}

std::string range_text(const machine::Reply& reply) {
  if (reply.code != 0) {
    return at(reply.revision, error_text(static_cast<etcd::Code>(reply.code)));
  }
  const auto response = etcd::decode_range_response(reply.body.view());
  return at(reply.revision, response ? text_of(*response) : "malformed answer");
}

}  // namespace quorate::sim::full
