#include "app/export.h"

#include <cstdio>
#include <filesystem>

#include "app/exit_codes.h"
#include "app/output.h"
#include "app/part_file.h"
#include "base/sha256.h"
#include "machine/etcd/backup.h"
#include "machine/etcd/commands.h"
#include "node/member_about.h"
#include "node/stopped.h"
#include "storage/kv/kv_store.h"
#include "world/real/event_loop.h"
#include "world/real/files.h"

namespace quorate::app {
namespace {

using machine::etcd::BackupMember;
using machine::etcd::EtcdMachine;
namespace fs = std::filesystem;

// What is held of the file in memory.
constexpr size_t kPieceBytes = size_t{4} << 20U;

constexpr char kHelp[] =
    "quorate export DATADIR FILE [--with-undecided]\n"
    "\n"
    "Writes a snapshot from the data directory of a member that does not run, as `etcdctl "
    "snapshot\n"
    "save` takes one from a running member: for `etcdctl snapshot restore` and for\n"
    "`quorate snapshot restore`. The directory's state stays as it is.\n"
    "\n"
    "What is in it is what this directory knows to be decided. A running leader knows more: "
    "prefer\n"
    "`quorate snapshot save` while there is one.\n"
    "\n"
    "  --with-undecided   also the entries at the end of the log of which this directory cannot\n"
    "                     tell; for when no majority can be started any more: then export from\n"
    "                     the member whose log ends in the highest round, and there at the "
    "highest\n"
    "                     index\n";

struct Request {
  std::string directory;
  std::string file;
  bool with_undecided = false;
  bool help = false;
  bool quiet = false;
};

Result<Request> parse(const std::vector<std::string>& arguments) {
  Request request;
  for (const std::string& word : arguments) {
    if (word == "--help" || word == "-h") {
      request.help = true;
    } else if (word == "--with-undecided") {
      request.with_undecided = true;
    } else if (word.starts_with('-')) {
      return fail(ErrorKind::invalid, "there is no flag " + word + "; see --help");
    } else if (request.directory.empty()) {
      request.directory = word;
    } else if (request.file.empty()) {
      request.file = word;
    } else {
      return fail(ErrorKind::invalid, "there is one word too many, " + word + "; see --help");
    }
  }
  if (request.file.empty() && !request.help) {
    return fail(ErrorKind::invalid,
                "name the data directory and the file to be written; see --help");
  }
  return request;
}

// The store's copy at work: files that never change are shared, the few small ones are copied, so
// nothing that is done to the copy reaches the member's own.
Result<void> copy_store(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(to, error);
  if (!error && fs::exists(from, error)) {
    for (const fs::directory_entry& each : fs::directory_iterator(from, error)) {
      const fs::path target = fs::path(to) / each.path().filename();
      if (each.path().filename() == "LOCK") continue;
      std::error_code unlinked;
      const bool fixed = each.path().extension() == ".sst";
      if (fixed) fs::create_hard_link(each.path(), target, unlinked);
      if (!fixed || unlinked) fs::copy_file(each.path(), target, error);
      if (error) break;
    }
  }
  if (!error) return {};
  return fail(error == std::errc::no_space_on_device ? ErrorKind::no_space : ErrorKind::io,
              "cannot copy the store " + from + " to " + to + ": " + error.message() +
                  "; name a file where there is room and you may write");
}

// Beside the file that is to be written, and gone afterwards.
class WorkingCopy {
 public:
  explicit WorkingCopy(std::string path) : path_(std::move(path)) {}
  ~WorkingCopy() {
    std::error_code error;
    fs::remove_all(path_, error);
    if (error) complain("cannot remove " + path_ + ": " + error.message());
  }
  WorkingCopy(const WorkingCopy&) = delete;
  WorkingCopy& operator=(const WorkingCopy&) = delete;

  // The machine of a copy of that store. It is remembered for its kind.
  Result<std::unique_ptr<machine::StateMachine>> open(const std::string& store) {
    std::error_code error;
    fs::remove_all(path_, error);
    if (auto copied = copy_store(store, path_); !copied) return std::unexpected(copied.error());
    auto rows = storage::open_rocksdb_store(path_);
    if (!rows) return explain(rows.error(), store);
    auto machine = machine::etcd::open_etcd_machine(std::move(*rows));
    if (!machine) return explain(machine.error(), store);
    machine_ = machine->get();
    return std::unique_ptr<machine::StateMachine>(std::move(*machine));
  }
  EtcdMachine& machine() { return *machine_; }

 private:
  static std::unexpected<Error> explain(const Error& error, const std::string& store) {
    return fail(error.kind, "the state in " + store + " (read from a copy) is no good: " +
                                error.text + " Take the snapshot from another member");
  }
  std::string path_;
  EtcdMachine* machine_ = nullptr;
};

std::vector<BackupMember> members_of(const node::StoppedMember& member) {
  machine::Reply reply;
  member.machine->query(machine::etcd::make_query(machine::etcd::QueryKind::member_attributes, {}),
                        reply);
  const auto published = machine::etcd::decode_member_attributes_list(reply.body.view());
  std::vector<BackupMember> members;
  const auto add = [&](const consensus::Member& each, bool learner) {
    BackupMember entry;
    entry.id = each.id.value;
    entry.learner = learner;
    if (auto about = node::decode_member_about(each.about)) {
      entry.name = std::move(about->name);
      entry.peer_urls = std::move(about->urls);
    }
    for (const machine::etcd::MemberAttributes& attributes : published) {
      if (attributes.id != entry.id) continue;
      entry.name = attributes.name;
      entry.client_urls = attributes.client_urls;
    }
    members.push_back(std::move(entry));
  };
  for (const consensus::Member& each : member.members.voters) add(each, false);
  for (const consensus::Member& each : member.members.learners) add(each, true);
  return members;
}

Result<uint64_t> write_file(world::Disk& disk, machine::etcd::Backup& backup,
                            const std::string& path) {
  for (bool measured = false; !measured;) {
    const auto done = backup.measure(kPieceBytes);
    if (!done) return std::unexpected(done.error());
    measured = *done;
  }
  auto file = PartFile::create(disk, path);
  if (!file) return std::unexpected(file.error());
  Sha256 digest;
  std::string piece;
  for (bool finished = false; !finished;) {
    piece.clear();
    const auto done = backup.read(kPieceBytes, piece);
    if (!done) return std::unexpected(done.error());
    finished = *done;
    digest.add(piece);
    if (auto written = file->write(piece); !written) return std::unexpected(written.error());
  }
  // The digest is behind all the rest.
  auto ended = file->write(digest.finish());
  if (ended) ended = file->finish();
  if (!ended) return std::unexpected(ended.error());
  return file->bytes();
}

std::string entries(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " entry" : " entries");
}

void say(const Request& request, const node::StoppedMember& member, int64_t revision,
         uint64_t bytes) {
  std::printf("%s: revision %lld at index %llu, of member %s; %llu bytes\n", request.file.c_str(),
              static_cast<long long>(revision),
              static_cast<unsigned long long>(member.machine->applied().value),
              member.identity.name.empty() ? hex(member.identity.member.value).c_str()
                                           : member.identity.name.c_str(),
              static_cast<unsigned long long>(bytes));
  if (member.members.voters.size() > 1) {
    std::printf("its log ends in round %llu at index %llu; other members may have come further\n",
                static_cast<unsigned long long>(member.last_round),
                static_cast<unsigned long long>(member.last.value));
  }
  if (member.undecided() == 0) return;
  if (request.with_undecided) {
    complain("the snapshot holds the last " + entries(member.undecided()) +
             " of the log, of which this directory cannot tell whether the members agreed on "
             "them; start no member of the old cluster again");
    return;
  }
  complain("the log holds " + entries(member.undecided()) +
           " more that are not in the snapshot, since this directory cannot tell whether the "
           "members agreed on them; clients may have been told so: a snapshot of the leader is "
           "newer, so start the cluster and take that if you can, or see --with-undecided");
}

Result<void> export_directory(const Request& request) {
  const std::string& given = request.directory;
  const auto disk = world::make_file_disk();
  if (disk->exists(given + "/member")) {
    return fail(ErrorKind::invalid, given +
                                        " is the data directory of an etcd, whose snapshot is "
                                        "what `etcdctl snapshot save` takes; `quorate import` "
                                        "reads the directory itself");
  }
  if (disk->exists(request.file) && fs::is_directory(request.file)) {
    return fail(ErrorKind::invalid, request.file + " is a directory; name the file in it");
  }
  WorkingCopy copy(request.file + ".part.store");
  auto loop = world::make_event_loop();
  Result<node::StoppedMember> member = fail(ErrorKind::unavailable, "the directory was not read");
  loop->post([&] {
    node::open_stopped(
        *loop, *disk, given + "/quorate",
        [&](const std::string& store) { return copy.open(store); },
        request.with_undecided ? node::TakeLog::all : node::TakeLog::decided,
        [&](Result<node::StoppedMember> result) {
          member = std::move(result);
          loop->stop();
        });
  });
  loop->run();
  if (!member) return std::unexpected(member.error());
  const int64_t revision = copy.machine().revisions().current;
  const auto backup = copy.machine().backup(members_of(*member));
  const auto bytes = write_file(*disk, *backup, request.file);
  if (!bytes && bytes.error().kind == ErrorKind::corrupt) {
    return fail(ErrorKind::corrupt, "the state in " + given +
                                        " (read from a copy) is damaged: " + bytes.error().text +
                                        " Take the snapshot from another member");
  }
  if (!bytes) return std::unexpected(bytes.error());
  if (!request.quiet) say(request, *member, revision, *bytes);
  return {};
}

}  // namespace

Result<void> write_export(const std::string& directory, const std::string& file) {
  Request request;
  request.directory = directory;
  request.file = file;
  request.with_undecided = true;
  request.quiet = true;
  return export_directory(request);
}

int export_command(const std::vector<std::string>& arguments) {
  const auto request = parse(arguments);
  if (!request) {
    complain(request.error().text);
    return kExitUsage;
  }
  if (request->help) {
    std::fputs(kHelp, stdout);
    return kExitOk;
  }
  const auto exported = export_directory(*request);
  if (exported) return kExitOk;
  complain(exported.error().text);
  return kExitRefused;
}

}  // namespace quorate::app
