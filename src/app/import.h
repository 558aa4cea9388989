// app/import.h: etcd's files on the command line: what is in a snapshot, and a data directory made
// of one, or of an etcd's own directory.
#pragma once

#include <string>
#include <vector>

#include "app/commands.h"
#include "app/config.h"

namespace quorate::app {

// `quorate import FILE|DIRECTORY ...`, and `quorate snapshot restore FILE ...` with etcdctl's
// flags.
int import_command(const std::vector<std::string>& arguments);
int restore_command(const std::vector<std::string>& arguments);
// The data directory of `config`, which is not there yet, from a snapshot.
Result<void> import_snapshot(const std::string& file, const ServeConfig& config);
// `quorate snapshot save FILE`, of the one endpoint.
int run_snapshot_save(const Common& common, const std::string& path);
// `quorate snapshot status FILE`. `format`: simple, json, table or fields, as etcdctl has them.
int run_snapshot_status(const std::string& path, const std::string& format);

}  // namespace quorate::app
