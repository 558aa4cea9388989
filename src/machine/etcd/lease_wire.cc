// The protobuf wire form of lease_messages.h.
#include <initializer_list>

#include "machine/etcd/lease_messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_number;
using protobuf::write_present;

namespace {

constexpr uint32_t kLifeField = 1001;  // far from what etcd may add

// Most of these messages are a header in field 1 and a few numbers behind it.
struct Number {
  uint32_t field;
  int64_t* value;
};

bool read_numbers(std::string_view wire, std::initializer_list<Number> numbers,
                  ResponseHeader* header = nullptr) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    if (header != nullptr && reader.field() == bytes_field(1)) {
      good = merge(reader.bytes(), *header);
    }
    for (const Number& number : numbers) {
      if (reader.field() == varint_field(number.field)) *number.value = reader.signed_number();
    }
  }
  return good && reader.ok();
}

}  // namespace

std::optional<LeaseGrantRequest> decode_lease_grant_request(std::string_view wire) {
  LeaseGrantRequest request;
  if (!read_numbers(wire, {{1, &request.ttl}, {2, &request.id}})) return std::nullopt;
  return request;
}

std::optional<LeaseRevokeRequest> decode_lease_revoke_request(std::string_view wire) {
  LeaseRevokeRequest request;
  int64_t life = 0;
  if (!read_numbers(wire, {{1, &request.id}, {kLifeField, &life}})) return std::nullopt;
  request.life = static_cast<uint64_t>(life);
  return request;
}

std::optional<LeaseCheckpointRequest> decode_lease_checkpoint_request(std::string_view wire) {
  LeaseCheckpointRequest request;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() != bytes_field(1)) continue;
    LeaseCheckpoint& checkpoint = request.checkpoints.emplace_back();
    int64_t life = 0;
    if (!read_numbers(reader.bytes(),
                      {{1, &checkpoint.id}, {2, &checkpoint.remaining_ttl}, {kLifeField, &life}})) {
      return std::nullopt;
    }
    checkpoint.life = static_cast<uint64_t>(life);
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<LeaseKeepAliveRequest> decode_lease_keep_alive_request(std::string_view wire) {
  LeaseKeepAliveRequest request;
  if (!read_numbers(wire, {{1, &request.id}})) return std::nullopt;
  return request;
}

std::optional<LeaseTimeToLiveRequest> decode_lease_time_to_live_request(std::string_view wire) {
  LeaseTimeToLiveRequest request;
  int64_t keys = 0;
  if (!read_numbers(wire, {{1, &request.id}, {2, &keys}})) return std::nullopt;
  request.keys = keys != 0;
  return request;
}

void encode(const LeaseGrantRequest& request, std::string& out) {
  write_number(1, request.ttl, out);
  write_number(2, request.id, out);
}

void encode(const LeaseRevokeRequest& request, std::string& out) {
  write_number(1, request.id, out);
  write_number(kLifeField, static_cast<int64_t>(request.life), out);
}

void encode(const LeaseCheckpointRequest& request, std::string& out) {
  std::string inner;
  for (const LeaseCheckpoint& checkpoint : request.checkpoints) {
    inner.clear();
    write_number(1, checkpoint.id, inner);
    write_number(2, checkpoint.remaining_ttl, inner);
    write_number(kLifeField, static_cast<int64_t>(checkpoint.life), inner);
    write_present(1, inner, out);
  }
}

void encode(const LeaseKeepAliveRequest& request, std::string& out) {
  write_number(1, request.id, out);
}

void encode(const LeaseTimeToLiveRequest& request, std::string& out) {
  write_number(1, request.id, out);
  write_number(2, request.keys ? 1 : 0, out);
}

std::optional<LeaseGrantResponse> decode_lease_grant_response(std::string_view wire) {
  LeaseGrantResponse response;
  if (!read_numbers(wire, {{2, &response.id}, {3, &response.ttl}}, &response.header)) {
    return std::nullopt;
  }
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == bytes_field(4)) response.error = reader.bytes();
  }
  return response;
}

std::optional<LeaseRevokeResponse> decode_lease_revoke_response(std::string_view wire) {
  LeaseRevokeResponse response;
  if (!read_numbers(wire, {}, &response.header)) return std::nullopt;
  return response;
}

std::optional<LeaseKeepAliveResponse> decode_lease_keep_alive_response(std::string_view wire) {
  LeaseKeepAliveResponse response;
  if (!read_numbers(wire, {{2, &response.id}, {3, &response.ttl}}, &response.header)) {
    return std::nullopt;
  }
  return response;
}

std::optional<LeaseTimeToLiveResponse> decode_lease_time_to_live_response(std::string_view wire) {
  LeaseTimeToLiveResponse response;
  if (!read_numbers(wire, {{2, &response.id}, {3, &response.ttl}, {4, &response.granted_ttl}},
                    &response.header)) {
    return std::nullopt;
  }
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == bytes_field(5)) response.keys.push_back(reader.bytes());
  }
  return response;
}

std::optional<LeaseLeasesResponse> decode_lease_leases_response(std::string_view wire) {
  LeaseLeasesResponse response;
  if (!read_numbers(wire, {}, &response.header)) return std::nullopt;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() != bytes_field(2)) continue;
    if (!read_numbers(reader.bytes(), {{1, &response.leases.emplace_back()}})) {
      return std::nullopt;
    }
  }
  return response;
}

}  // namespace quorate::machine::etcd
