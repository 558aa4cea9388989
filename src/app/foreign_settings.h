// app/foreign_settings.h: etcd's flags that mean nothing here, each with the reason.
//
// A command line or manifest made for etcd 3.4 to 3.7 starts Quorate too, and whoever reads the
// log learns which of its wishes were not met and why. What would be dangerous to pass over (it
// asks for protection, or for another way to start) is not here: that is refused.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace quorate::app {

struct ForeignSetting {
  std::string_view name;
  std::string_view reason;
  bool is_switch = false;  // needs no value
};

std::span<const ForeignSetting> foreign_settings();
const ForeignSetting* find_foreign(std::string_view name);  // null: not one of them
// The known name closest to a mistyped one; empty: none is close.
std::string closest_name(std::string_view name, std::span<const std::string_view> known);

}  // namespace quorate::app
