// A snapshot of one member, stored as etcdctl stores it.
#include <cstdio>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/import.h"
#include "app/output.h"
#include "app/part_file.h"
#include "app/session.h"
#include "base/sha256.h"
#include "storage/mvcc/protobuf.h"
#include "world/real/files.h"

namespace quorate::app {
namespace {

constexpr char kPathSnapshot[] = "/etcdserverpb.Maintenance/Snapshot";
// A server sends a piece at least so often, unless it is still measuring a very large store.
constexpr auto kSilenceMax = std::chrono::minutes(5);

class Download {
 public:
  explicit Download(PartFile& file) : file_(file) {}

  Result<void> receive(Stream& stream, const std::string& endpoint) {
    while (true) {
      const Stream::Event event = stream.next(kSilenceMax);
      switch (event.kind) {
        case Stream::Event::Kind::nothing:
          return fail(ErrorKind::unavailable, endpoint + " sends nothing more; try again");
        case Stream::Event::Kind::message:
          if (auto taken = take(event.message); !taken) return taken;
          break;
        case Stream::Event::Kind::ended:
          if (event.answer.fate == front::grpc::Fate::answered && event.answer.status == 0) {
            return finish();
          }
          return fail(ErrorKind::unavailable, event.answer.message);
      }
    }
  }

 private:
  // A blob is written when another one follows: the last one is the digest of those before it.
  Result<void> take(std::string_view message) {
    std::string blob;
    protobuf::Reader reader(message);
    while (reader.next()) {
      if (reader.field() == protobuf::bytes_field(3)) blob = reader.bytes();
    }
    if (!reader.ok()) return fail(ErrorKind::corrupt, "the server's answer is no snapshot");
    if (auto written = file_.write(held_); !written) return written;
    hash_.add(held_);
    held_ = std::move(blob);
    return {};
  }
  Result<void> finish() {
    if (held_ != hash_.finish()) {
      return fail(ErrorKind::corrupt,
                  "the snapshot arrived damaged: its SHA-256 is another one; take it again");
    }
    return file_.write(held_);
  }

  PartFile& file_;
  Sha256 hash_;
  std::string held_;
};

Result<void> save(const Common& common, const std::string& path) {
  const auto disk = world::make_file_disk();
  auto stream = Session(common).open(kPathSnapshot, {});
  if (!stream) return std::unexpected(stream.error());
  auto file = PartFile::create(*disk, path);
  if (!file) return std::unexpected(file.error());
  auto received = Download(*file).receive(**stream, common.endpoints.front());
  return received ? file->finish() : received;
}

}  // namespace

int run_snapshot_save(const Common& common, const std::string& path) {
  if (common.endpoints.size() != 1) {
    complain("a snapshot is that of one member; name one endpoint with --endpoints");
    return kExitUsage;
  }
  const auto saved = save(common, path);
  if (!saved) {
    complain(saved.error().text);
    return saved.error().kind == ErrorKind::unavailable ? kExitUnavailable : kExitRefused;
  }
  std::printf("Snapshot saved at %s\n", path.c_str());
  return kExitOk;
}

}  // namespace quorate::app
