// app/notify.h: tells systemd how far this member is (Type=notify), over the socket it names.
//
// A unit counts as started when its member serves, so what is ordered after it finds it ready.
// Without such a socket nothing happens.
#pragma once

#include <string_view>

namespace quorate::app {

// state: lines such as READY=1, STOPPING=1, STATUS=words.
void notify_systemd(std::string_view state);

}  // namespace quorate::app
