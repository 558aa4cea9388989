// alarm list and disarm.
#include <iostream>

#include "app/etcdctl/commands.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

constexpr int64_t kDeactivate = 2;

std::string alarm_name(uint64_t number) {
  static constexpr const char* names[] = {"NONE", "NOSPACE", "CORRUPT"};
  return number < std::size(names) ? names[number] : std::to_string(number);
}

void print_alarms(const Common& common, const Message& response) {
  const Format format = format_of(common);
  if (format == Format::json) {
    std::cout << response.json() << '\n';
    return;
  }
  if (format == Format::fields) print_header_fields(response);
  for (const Message& alarm : response.messages("alarms")) {
    const std::string name = alarm_name(alarm.number("alarm"));
    if (format == Format::fields) {
      std::cout << "\"MemberID\" : " << alarm.number("memberID") << "\n\"AlarmType\" : " << name
                << "\n\n";
    } else {  // the blank at the end is in etcd's text, which scripts compare
      std::cout << "memberID:" << alarm.number("memberID") << " alarm:" << name << " \n";
    }
  }
}

}  // namespace

int run_alarm_list(const Common& common) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  const Response response = Session(common).read(kPathAlarm, "");
  if (response.verdict != Verdict::done) return report(response, false);
  const auto alarms = Message::decode(kAlarmShape, response.body);
  if (!alarms) return undecodable();
  print_alarms(common, *alarms);
  return kExitOk;
}

int run_alarm_disarm(const Common& common) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  Session session(common);
  const Response listed = session.read(kPathAlarm, "");
  if (listed.verdict != Verdict::done) return report(listed, false);
  const auto alarms = Message::decode(kAlarmShape, listed.body);
  if (!alarms) return undecodable();
  std::string disarmed;  // an answer that holds all that were
  for (const Message& alarm : alarms->messages("alarms")) {
    std::string request;
    protobuf::write_number(1, kDeactivate, request);
    protobuf::write_number(2, alarm.integer("memberID"), request);
    protobuf::write_number(3, alarm.integer("alarm"), request);
    const Response response = session.write(kPathAlarm, request);
    if (response.verdict != Verdict::done) return report(response, true);
    protobuf::Reader reader(response.body);
    while (reader.next()) {
      if (reader.field() == protobuf::bytes_field(2)) {
        protobuf::write_present(2, reader.bytes(), disarmed);
      }
    }
  }
  const auto all = Message::decode(kAlarmShape, disarmed);
  if (!all) return undecodable();
  print_alarms(common, *all);
  return kExitOk;
}

}  // namespace quorate::app::etcdctl
