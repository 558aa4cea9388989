// explore/synod/report.h: what was seen of one decree, as tables for people and JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "explore/synod/duel.h"
#include "explore/synod/remedy.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {

std::string table_head();
std::string table_row(const Report& report, double seconds);
std::string details(const Report& report);  // a broken rule and the way to it; else empty
std::string story(const Duel& duel);
std::string table(const std::vector<Remedy>& remedies);

// One line each.
std::string json(const Report& report, double seconds);
std::string json(const Duel& duel);
std::string json(const std::vector<Remedy>& remedies);

}  // namespace quorate::explore::synod
