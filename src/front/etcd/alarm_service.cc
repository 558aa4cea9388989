#include "front/etcd/alarm_service.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::Alarm;
using machine::etcd::AlarmKind;

AlarmService::AlarmService(Api& api) {
  api.server().add_unary("etcdserverpb.Maintenance", "Alarm",
                         [&api](CallId call, std::string_view message) {
                           if (!api.admit(call)) return;
                           if (!machine::etcd::decode_alarm_request(message)) {
                             return api.refuse(call, ApiError::malformed_request);
                           }
                           // Asking goes through the log too: the answer then is no older than the
                           // question.
                           api.propose(call, machine::etcd::CommandKind::alarm, message);
                         });
}

std::vector<Alarm> active_alarms(Api& api) {
  machine::Reply reply;
  api.service().query(machine::etcd::make_query(machine::etcd::QueryKind::alarms, {}), reply);
  if (reply.code != 0) return {};
  return machine::etcd::decode_alarms(reply.body.view());
}

std::string_view alarm_name(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::no_space:
      return "NOSPACE";
    case AlarmKind::corrupt:
      return "CORRUPT";
    case AlarmKind::none:
      break;
  }
  return "NONE";
}

std::string alarm_text(const Alarm& alarm) {
  std::string text = "memberID:" + std::to_string(alarm.member) + " alarm:";
  text += alarm_name(alarm.kind);
  return text + " ";
}

}  // namespace quorate::front::etcd
