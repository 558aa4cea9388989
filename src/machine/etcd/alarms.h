// machine/etcd/alarms.h: alarms: what is wrong with a member, known to all of them through the log.
//
// While there is one, the machine refuses to apply what would make it worse. That is decided where
// entries are applied, so every member refuses the same ones.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "machine/etcd/envelope.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

enum class AlarmKind : uint8_t { none = 0, no_space = 1, corrupt = 2 };
enum class AlarmAction : uint8_t { get = 0, activate = 1, deactivate = 2 };

struct AlarmRequest {
  AlarmAction action = AlarmAction::get;  // 1
  uint64_t member = 0;                    // 2
  AlarmKind kind = AlarmKind::none;       // 3; to get: none is every kind
};
struct Alarm {
  AlarmKind kind = AlarmKind::none;
  uint64_t member = 0;
  auto operator<=>(const Alarm&) const = default;
};

// nullopt: malformed, or an action or kind that this version does not know.
std::optional<AlarmRequest> decode_alarm_request(std::string_view wire);
void encode(const AlarmRequest& request, std::string& out);
// Of the body of an AlarmResponse; one that does not decode is left out.
std::vector<Alarm> decode_alarms(std::string_view body);

// Where they lie, among the rows that are kept apart: there are few.
inline constexpr std::string_view kAlarmTable = "malarm";
inline constexpr std::string_view kAlarmTableEnd = "malarn";
std::optional<Alarm> decode_alarm_row(std::string_view key, std::string_view value);

class AlarmBook {
 public:
  // Members are a handful, but clients may name any number as one.
  static constexpr size_t kAlarmsMax = 1000;

  // An error: the rows are damaged or of a newer format.
  Result<void> load(const storage::KvStore& rows);
  // The body is an AlarmResponse without its header.
  Code apply(const AlarmRequest& request, storage::WriteBatch& batch, std::string* body);
  void list(AlarmKind kind, std::string& body) const;
  // ok, or why no command of this kind is applied now.
  Code refusal(const OpenedCommand& command) const {
    return alarms_.empty() ? Code::ok : refusal_under_alarm(command);
  }

 private:
  Code refusal_under_alarm(const OpenedCommand& command) const;
  bool active(AlarmKind kind) const;

  std::set<Alarm> alarms_;
};

}  // namespace quorate::machine::etcd
