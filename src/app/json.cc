#include "app/json.h"

#include <nlohmann/json.hpp>

#include "app/output.h"
#include "base/base64.h"

namespace quorate::app {
namespace {

namespace etcd = machine::etcd;
using Json = nlohmann::ordered_json;

void put_bytes(Json& object, const std::string& name, std::string_view bytes) {
  if (is_utf8(bytes)) {
    object[name] = bytes;
  } else {
    std::string text;
    append_base64(bytes, text);
    object[name + "_base64"] = std::move(text);
  }
}

Json pair_json(const etcd::KeyValue& pair) {
  Json object;
  put_bytes(object, "key", pair.key);
  put_bytes(object, "value", pair.value);
  object["create_revision"] = pair.create_revision;
  object["mod_revision"] = pair.mod_revision;
  object["version"] = pair.version;
  if (pair.lease != 0) object["lease"] = pair.lease;
  return object;
}

Json pairs_json(const std::vector<etcd::KeyValue>& pairs) {
  Json list = Json::array();
  for (const auto& pair : pairs) list.push_back(pair_json(pair));
  return list;
}

Json object_of(const etcd::RangeResponse& response) {
  return {{"revision", response.header.revision},
          {"count", response.count},
          {"more", response.more},
          {"kvs", pairs_json(response.kvs)}};
}

Json object_of(const etcd::PutResponse& response) {
  Json object{{"revision", response.header.revision}};
  if (response.prev_kv) object["prev_kv"] = pair_json(*response.prev_kv);
  return object;
}

Json object_of(const etcd::DeleteRangeResponse& response) {
  Json object{{"revision", response.header.revision}, {"deleted", response.deleted}};
  if (!response.prev_kvs.empty()) object["prev_kvs"] = pairs_json(response.prev_kvs);
  return object;
}

Json object_of(const etcd::TxnResponse& response);

Json object_of(const std::monostate&) { return Json::object(); }

Json object_of(const etcd::TxnResponse& response) {
  Json list = Json::array();
  for (const auto& each : response.responses) {
    list.push_back(std::visit([](const auto& inner) { return object_of(inner); }, each.response));
  }
  return {{"revision", response.header.revision},
          {"succeeded", response.succeeded},
          {"responses", std::move(list)}};
}

}  // namespace

std::string range_json(const etcd::RangeResponse& response) { return object_of(response).dump(); }
std::string put_json(const etcd::PutResponse& response) { return object_of(response).dump(); }
std::string delete_json(const etcd::DeleteRangeResponse& response) {
  return object_of(response).dump();
}
std::string txn_json(const etcd::TxnResponse& response) { return object_of(response).dump(); }

std::string status_json(const std::vector<EndpointStatus>& list) {
  Json rows = Json::array();
  for (const EndpointStatus& each : list) {
    Json row{{"endpoint", each.endpoint}};
    if (!each.problem.empty()) {
      row["error"] = each.problem;
    } else {
      const MemberStatus& status = each.status;
      row.update({{"id", hex(status.member_id)},
                  {"cluster_id", hex(status.cluster_id)},
                  {"version", status.version},
                  {"consensus", status.protocol},
                  {"leader", hex(status.leader)},
                  {"is_leader", status.leader != 0 && status.leader == status.member_id},
                  {"term", status.term},
                  {"index", status.index},
                  {"applied", status.applied},
                  {"revision", status.revision},
                  {"store_bytes", status.store_bytes},
                  {"errors", status.errors}});
    }
    rows.push_back(std::move(row));
  }
  return rows.dump();
}

namespace {

Json member_row(const MemberEntry& member) {
  return {{"id", hex(member.id)},
          {"name", member.name},
          {"peer_urls", member.peer_urls},
          {"client_urls", member.client_urls},
          {"learner", member.learner}};
}

Json member_rows(const std::vector<MemberEntry>& members) {
  Json rows = Json::array();
  for (const MemberEntry& member : members) rows.push_back(member_row(member));
  return rows;
}

}  // namespace

std::string members_json(const std::vector<MemberEntry>& members) {
  return member_rows(members).dump();
}

std::string member_added_json(const AddedMember& added, const std::string& initial_cluster) {
  return Json({{"cluster_id", hex(added.cluster_id)},
               {"member", member_row(added.member)},
               {"members", member_rows(added.members)},
               {"initial_cluster", initial_cluster}})
      .dump();
}

std::string leader_moved_json(uint64_t from, uint64_t to) {
  return Json({{"from", hex(from)}, {"to", hex(to)}}).dump();
}

}  // namespace quorate::app
