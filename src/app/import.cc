#include "app/import.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <set>

#include "app/config.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "app/serve.h"
#include "machine/etcd/import.h"
#include "node/beginning.h"
#include "storage/bolt/etcd_log.h"
#include "storage/bolt/snapshot_digest.h"
#include "world/real/event_loop.h"
#include "world/real/files.h"

namespace quorate::app {
namespace {

using machine::etcd::EtcdContent;
using storage::bolt::Reader;

struct Request {
  std::string path;
  Settings settings;
  bool skip_hash_check = false;
  bool help = false;
};

constexpr char kHelp[] =
    "quorate import FILE|DIRECTORY [flags]\n"
    "quorate snapshot restore FILE [flags]\n"
    "\n"
    "Makes the data directory of a new cluster's member from a snapshot of an etcd or of Quorate\n"
    "(`etcdctl snapshot save`), or from the data directory of an etcd that was stopped: same "
    "keys,\n"
    "revisions, compacted revision, leases, users and roles. Do it for each member with the same\n"
    "file, then start each with `quorate serve` and the same flags.\n"
    "\n"
    "  --name NAME                           of this member (default)\n"
    "  --data-dir DIRECTORY                  to be made (NAME.quorate)\n"
    "  --initial-cluster NAME=URL,...        all members\n"
    "  --initial-advertise-peer-urls URL,... of this one\n"
    "  --initial-cluster-token TOKEN         of the new cluster\n"
    "  --consensus raft|multipaxos           protocol of the new cluster's log (raft)\n"
    "  --skip-hash-check                     the file is a copy of member/snap/db, without a "
    "hash\n";

Result<Request> parse(const std::vector<std::string>& arguments) {
  static const std::set<std::string> known = {"name",
                                              "data-dir",
                                              "initial-cluster",
                                              "initial-advertise-peer-urls",
                                              "initial-cluster-token",
                                              "consensus"};
  Request request;
  for (size_t at = 0; at < arguments.size(); ++at) {
    std::string word = arguments[at];
    if (!word.starts_with('-')) {
      if (!request.path.empty()) {
        return fail(ErrorKind::invalid, "there are two files, " + request.path + " and " + word +
                                            "; a member begins as one");
      }
      request.path = word;
      continue;
    }
    word.erase(0, word.starts_with("--") ? 2 : 1);
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (name == "help" || name == "h") {
      request.help = true;
    } else if (name == "skip-hash-check") {
      request.skip_hash_check = equals == std::string::npos || word.substr(equals + 1) != "false";
    } else if (!known.contains(name)) {
      return fail(ErrorKind::invalid, "there is no flag --" + name + "; see --help");
    } else if (equals != std::string::npos) {
      request.settings[name] = word.substr(equals + 1);
    } else if (at + 1 < arguments.size()) {
      request.settings[name] = arguments[++at];
    } else {
      return fail(ErrorKind::invalid, "--" + name + " needs a value");
    }
  }
  if (request.path.empty() && !request.help) {
    return fail(ErrorKind::invalid, "name the file to begin from; see --help");
  }
  return request;
}

// An etcd that runs holds a lock on its database, and what it writes meanwhile would be torn.
Result<void> check_stopped(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return fail(ErrorKind::not_found, "cannot open " + path);
  const bool free = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
  ::close(descriptor);
  if (free) return {};
  return fail(ErrorKind::conflict, path +
                                       " is in use: stop its etcd first, or take a snapshot of it "
                                       "with `etcdctl snapshot save` and import that");
}

Result<void> check_digest(world::File& file, const storage::bolt::SnapshotFile& measured,
                          const std::string& path) {
  if (!measured.digest) {
    return fail(ErrorKind::invalid,
                path +
                    " has no hash behind it, so nobody can tell whether it is whole: it is the "
                    "copy of a member's own file, or cut short; if it is such a copy, pass "
                    "--skip-hash-check");
  }
  const auto computed = storage::bolt::compute_digest(file, measured.bytes);
  if (!computed) return std::unexpected(computed.error());
  if (*computed == *measured.digest) return {};
  return fail(ErrorKind::corrupt,
              path +
                  " is damaged: its SHA-256 is not the one that was stored with it; copy it again, "
                  "or take another snapshot");
}

struct Source {
  std::string path;       // of the database
  std::string directory;  // of the etcd's log; empty: a snapshot
  std::unique_ptr<world::File> file;
  storage::bolt::SnapshotFile measured;
};

Result<Source> open_source(world::Disk& disk, const std::string& path) {
  Source source;
  source.path = path;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    source.path = path + "/member/snap/db";
    source.directory = path + "/member/wal";
    if (!disk.exists(source.path)) {
      return fail(ErrorKind::not_found, path + " is no data directory of an etcd: it has no " +
                                            "member/snap/db; name a snapshot, or that directory");
    }
    if (auto stopped = check_stopped(source.path); !stopped) {
      return std::unexpected(stopped.error());
    }
  }
  auto file = disk.open(source.path, world::OpenMode::read);
  if (!file) return std::unexpected(file.error());
  source.file = std::move(*file);
  auto measured = storage::bolt::measure_snapshot(*source.file);
  if (!measured) return std::unexpected(measured.error());
  source.measured = std::move(*measured);
  return source;
}

Result<void> check_log(world::Disk& disk, const Source& source, const EtcdContent& content) {
  if (source.directory.empty()) return {};
  const auto behind = storage::bolt::read_etcd_log(disk, source.directory, content.index);
  if (!behind) return std::unexpected(behind.error());
  if (behind->missing == 0) return {};
  return fail(ErrorKind::invalid,
              "the log of this etcd has writes that are not in its database yet (" +
                  std::to_string(behind->missing) +
                  "), as after a crash; start that etcd once and stop it, or take a snapshot of "
                  "it, so that none of them is lost");
}

Result<void> write_store(const Reader& reader, const EtcdContent& content,
                         const node::NodeConfig& config, Index behind) {
  auto store = storage::open_rocksdb_store(node::beginning_store_path(config, behind));
  if (!store) return std::unexpected(store.error());
  const auto position = node::beginning_position(config, behind);
  if (auto written = machine::etcd::import_rows(reader, content, position, **store); !written) {
    return written;
  }
  return (*store)->compact();
}

// Runs a loop of its own until log and identity are durable.
Result<void> write_log(world::Disk& disk, const node::NodeConfig& config, Index behind) {
  auto loop = world::make_event_loop();
  Result<void> outcome;
  loop->post([&] {
    node::begin_behind(*loop, disk, config, behind, [&](Result<void> result) {
      outcome = std::move(result);
      loop->stop();
    });
  });
  loop->run();
  return outcome;
}

Result<void> build(world::Disk& disk, const ServeConfig& serve, const Reader& reader,
                   const EtcdContent& content) {
  node::NodeConfig config = node_config(serve);
  const std::string target = config.directory;
  if (disk.exists(target) || disk.exists(serve.data_directory + "/member")) {
    return fail(ErrorKind::conflict, serve.data_directory +
                                         " holds data already; name a data directory that is not "
                                         "there yet with --data-dir");
  }
  config.directory = serve.data_directory + "/importing";  // until it is whole
  if (auto removed = disk.remove_tree(config.directory); !removed) return removed;
  if (auto made = disk.make_directory(config.directory + "/store"); !made) return made;
  const Index behind{std::max<uint64_t>(content.index, 2)};
  if (auto written = write_store(reader, content, config, behind); !written) return written;
  if (auto written = write_log(disk, config, behind); !written) return written;
  if (auto synced = disk.sync_directory(config.directory); !synced) return synced;
  if (auto renamed = disk.rename(config.directory, target); !renamed) return renamed;
  return disk.sync_directory(serve.data_directory);
}

Result<EtcdContent> bring_in(const Request& request, const ServeConfig& config) {
  const auto disk = world::make_file_disk();
  auto source = open_source(*disk, request.path);
  if (!source) return std::unexpected(source.error());
  if (source->directory.empty() && !request.skip_hash_check) {
    if (auto checked = check_digest(*source->file, source->measured, source->path); !checked) {
      return std::unexpected(checked.error());
    }
  }
  const auto reader = Reader::open(*source->file, source->path, source->measured.bytes);
  if (!reader) return std::unexpected(reader.error());
  auto content = machine::etcd::look_through(*reader);
  if (!content) return fail(content.error().kind, source->path + ": " + content.error().text);
  if (auto checked = check_log(*disk, *source, *content); !checked) {
    return std::unexpected(checked.error());
  }
  if (auto built = build(*disk, config, *reader, *content); !built) {
    return std::unexpected(built.error());
  }
  return content;
}

void say(const EtcdContent& content, const ServeConfig& config) {
  std::printf("%s: revision %lld, %llu versions of keys, %llu leases",
              config.data_directory.c_str(), static_cast<long long>(content.revision),
              static_cast<unsigned long long>(content.rows),
              static_cast<unsigned long long>(content.leases));
  if (content.compacted > 0) {
    std::printf(", compacted at %lld", static_cast<long long>(content.compacted));
  }
  if (content.auth.used()) {
    std::printf(", %zu users, %zu roles, authentication %s", content.auth.users.size(),
                content.auth.roles.size(), content.auth.state.enabled ? "on" : "off");
  }
  std::printf("\n");
  if (!content.orphans.empty()) {
    std::printf("%zu keys were on leases that etcd no longer has; they stay, without a lease\n",
                content.orphans.size());
  }
  if (content.alarms > 0) {
    std::printf(
        "%llu alarms were left behind: they are about members that are not in this "
        "cluster\n",
        static_cast<unsigned long long>(content.alarms));
  }
  std::printf(
      "start it with: quorate serve --name %s --data-dir %s and the same --initial-* flags\n",
      config.name.c_str(), config.data_directory.c_str());
}

int run_import(const std::vector<std::string>& arguments, bool directories) {
  const auto request = parse(arguments);
  if (!request) {
    complain(request.error().text);
    return kExitUsage;
  }
  if (request->help) {
    std::fputs(kHelp, stdout);
    return kExitOk;
  }
  const auto config = make_config(request->settings, "quorate");
  if (!config) {
    complain(config.error().text);
    return kExitUsage;
  }
  std::error_code ignored;
  if (!directories && std::filesystem::is_directory(request->path, ignored)) {
    complain(request->path + " is a directory; a snapshot is a file, and `quorate import` takes " +
             "the data directory of an etcd");
    return kExitUsage;
  }
  const auto content = bring_in(*request, *config);
  if (!content) {
    complain(content.error().text);
    return kExitRefused;
  }
  say(*content, *config);
  return kExitOk;
}

}  // namespace

Result<void> import_snapshot(const std::string& file, const ServeConfig& config) {
  Request request;
  request.path = file;
  const auto content = bring_in(request, config);
  if (!content) return std::unexpected(content.error());
  return {};
}

int import_command(const std::vector<std::string>& arguments) {
  return run_import(arguments, true);
}

int restore_command(const std::vector<std::string>& arguments) {
  return run_import(arguments, false);
}

}  // namespace quorate::app
