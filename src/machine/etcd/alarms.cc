#include "machine/etcd/alarms.h"

#include <algorithm>

#include "base/codec.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_number;
using protobuf::write_present;

namespace {

constexpr uint8_t kFormat = 1;
constexpr int32_t kActionLast = 2;
constexpr int32_t kKindLast = 2;

std::string alarm_key(const Alarm& alarm) {
  Encoder encoder;
  encoder.raw(kAlarmTable);
  encoder.u8(static_cast<uint8_t>(alarm.kind));
  encoder.u64(alarm.member);
  return std::move(encoder.text());
}

void write_alarm(const Alarm& alarm, std::string& body) {
  std::string member;
  write_number(1, static_cast<int64_t>(alarm.member), member);
  write_number(2, static_cast<int64_t>(alarm.kind), member);
  write_present(2, member, body);
}

bool puts(const TxnRequest& request) {
  const auto puts_something = [](const RequestOp& operation) {
    if (std::holds_alternative<PutRequest>(operation.request)) return true;
    const auto* nested = std::get_if<TxnRequest>(&operation.request);
    return nested != nullptr && puts(*nested);
  };
  return std::ranges::any_of(request.success, puts_something) ||
         std::ranges::any_of(request.failure, puts_something);
}

// What takes no space, or gives some back, is let through.
bool takes_space(const OpenedCommand& command) {
  if (command.kind == CommandKind::put || command.kind == CommandKind::lease_grant) return true;
  if (command.kind != CommandKind::txn) return false;
  const std::optional<TxnRequest> request = decode_txn_request(command.request);
  return request && puts(*request);
}

bool changes_keyspace(CommandKind kind) {
  switch (kind) {
    case CommandKind::put:
    case CommandKind::delete_range:
    case CommandKind::txn:
    case CommandKind::compact:
    case CommandKind::lease_grant:
    case CommandKind::lease_revoke:
      return true;
    case CommandKind::member_attributes:
    case CommandKind::lease_checkpoint:
    case CommandKind::alarm:
    case CommandKind::auth:
      return false;
  }
  return false;
}

}  // namespace

std::optional<Alarm> decode_alarm_row(std::string_view key, std::string_view value) {
  key.remove_prefix(kAlarmTable.size());
  Decoder decoder(key);
  const uint8_t kind = decoder.u8();
  const uint64_t member = decoder.u64();
  const bool known = kind == 1 || kind == kKindLast;
  if (!decoder.finished() || !known || value.size() != 1 || value[0] != kFormat) {
    return std::nullopt;
  }
  return Alarm{static_cast<AlarmKind>(kind), member};
}

std::optional<AlarmRequest> decode_alarm_request(std::string_view wire) {
  AlarmRequest request;
  int32_t action = 0;
  int32_t kind = 0;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) action = reader.int32();
    if (reader.field() == varint_field(2)) request.member = reader.number();
    if (reader.field() == varint_field(3)) kind = reader.int32();
  }
  const bool known = action >= 0 && action <= kActionLast && kind >= 0 && kind <= kKindLast;
  if (!reader.ok() || !known) return std::nullopt;
  request.action = static_cast<AlarmAction>(action);
  request.kind = static_cast<AlarmKind>(kind);
  return request;
}

void encode(const AlarmRequest& request, std::string& out) {
  write_number(1, static_cast<int64_t>(request.action), out);
  write_number(2, static_cast<int64_t>(request.member), out);
  write_number(3, static_cast<int64_t>(request.kind), out);
}

std::vector<Alarm> decode_alarms(std::string_view body) {
  std::vector<Alarm> alarms;
  Reader reader(body);
  while (reader.next()) {
    if (reader.field() != bytes_field(2)) continue;
    Alarm alarm;
    int32_t kind = 0;
    Reader fields(reader.bytes());
    while (fields.next()) {
      if (fields.field() == varint_field(1)) alarm.member = fields.number();
      if (fields.field() == varint_field(2)) kind = fields.int32();
    }
    if (!fields.ok() || kind < 1 || kind > kKindLast) continue;
    alarm.kind = static_cast<AlarmKind>(kind);
    alarms.push_back(alarm);
  }
  return alarms;
}

Result<void> AlarmBook::load(const storage::KvStore& rows) {
  bool damaged = false;
  const Result<void> scanned =
      rows.scan(kAlarmTable, kAlarmTableEnd, [&](std::string_view key, std::string_view value) {
        const std::optional<Alarm> alarm = decode_alarm_row(key, value);
        damaged = damaged || !alarm;
        if (alarm) alarms_.insert(*alarm);
        return true;
      });
  if (!scanned || !damaged) return scanned;
  return fail(ErrorKind::corrupt,
              "The row store is damaged or of a newer version: an alarm cannot be decoded. Start "
              "the version that wrote it, replace the member, or restore it from a snapshot.");
}

Code AlarmBook::apply(const AlarmRequest& request, storage::WriteBatch& batch, std::string* body) {
  const Alarm alarm{request.kind, request.member};
  if (request.action == AlarmAction::get) {
    if (body != nullptr) list(request.kind, *body);
    return Code::ok;
  }
  if (request.kind == AlarmKind::none) return Code::ok;  // no alarm, so nothing to do
  if (request.action == AlarmAction::activate) {
    const bool room = alarms_.size() < kAlarmsMax || alarms_.contains(alarm);
    if (!room) return Code::no_space;
    if (alarms_.insert(alarm).second) batch.put(alarm_key(alarm), std::string(1, kFormat));
  } else {
    if (alarms_.erase(alarm) == 0) return Code::ok;
    batch.remove(alarm_key(alarm));
  }
  if (body != nullptr) write_alarm(alarm, *body);
  return Code::ok;
}

void AlarmBook::list(AlarmKind kind, std::string& body) const {
  for (const Alarm& alarm : alarms_) {
    if (kind == AlarmKind::none || kind == alarm.kind) write_alarm(alarm, body);
  }
}

bool AlarmBook::active(AlarmKind kind) const {
  const auto first = alarms_.lower_bound({kind, 0});
  return first != alarms_.end() && first->kind == kind;
}

Code AlarmBook::refusal_under_alarm(const OpenedCommand& command) const {
  if (active(AlarmKind::corrupt) && changes_keyspace(command.kind)) return Code::corrupt;
  if (active(AlarmKind::no_space) && takes_space(command)) return Code::no_space;
  return Code::ok;
}

}  // namespace quorate::machine::etcd
