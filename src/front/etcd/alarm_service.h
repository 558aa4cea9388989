// front/etcd/alarm_service.h: Alarm of etcdserverpb.Maintenance, and the alarms as others tell of
// them.
#pragma once

#include <string>
#include <vector>

#include "front/etcd/api.h"
#include "machine/etcd/alarms.h"

namespace quorate::front::etcd {

class AlarmService {
 public:
  explicit AlarmService(Api& api);
};

// As this member knows them now.
std::vector<machine::etcd::Alarm> active_alarms(Api& api);
// As etcd prints one among the errors of a Status.
std::string alarm_text(const machine::etcd::Alarm& alarm);
std::string_view alarm_name(machine::etcd::AlarmKind kind);

}  // namespace quorate::front::etcd
