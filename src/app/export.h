// app/export.h: a snapshot out of a data directory whose member does not run.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace quorate::app {

// `quorate export DATADIR FILE [--with-undecided]`: the file that Maintenance.Snapshot would give.
int export_command(const std::vector<std::string>& arguments);

// The same with all that the log holds, decided or not, and without a word about it.
Result<void> write_export(const std::string& directory, const std::string& file);

}  // namespace quorate::app
