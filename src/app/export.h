// app/export.h: a snapshot out of a data directory whose member does not run.
#pragma once

#include <string>
#include <vector>

namespace quorate::app {

// `quorate export DATADIR FILE [--with-undecided]`: the file that Maintenance.Snapshot would give.
int export_command(const std::vector<std::string>& arguments);

}  // namespace quorate::app
