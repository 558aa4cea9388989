// A snapshot of one member, stored as etcdctl stores it.
#include <cstdio>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/import.h"
#include "app/output.h"
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
  explicit Download(std::unique_ptr<world::File> file) : file_(std::move(file)) {}

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
    if (auto written = write(held_); !written) return written;
    hash_.add(held_);
    held_ = std::move(blob);
    return {};
  }
  Result<void> finish() {
    if (held_ != hash_.finish()) {
      return fail(ErrorKind::corrupt,
                  "the snapshot arrived damaged: its SHA-256 is another one; take it again");
    }
    if (auto written = write(held_); !written) return written;
    return file_->sync_data();
  }
  Result<void> write(std::string_view bytes) {
    auto written =
        file_->write_at(offset_, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    offset_ += bytes.size();
    return written;
  }

  std::unique_ptr<world::File> file_;
  Sha256 hash_;
  std::string held_;
  uint64_t offset_ = 0;
};

Result<void> save(const Common& common, const std::string& path) {
  const auto disk = world::make_file_disk();
  const std::string part = path + ".part";
  if (disk->exists(part)) {  // left by one that did not end well
    if (auto removed = disk->remove(part); !removed) return removed;
  }
  auto stream = Session(common).open(kPathSnapshot, {});
  if (!stream) return std::unexpected(stream.error());
  auto file = disk->open(part, world::OpenMode::create);
  if (!file) return std::unexpected(file.error());
  auto received = Download(std::move(*file)).receive(**stream, common.endpoints.front());
  if (received) received = disk->rename(part, path);
  if (!received) {
    const auto removed = disk->remove(part);
    if (!removed) complain(removed.error().text);
    return received;
  }
  const size_t slash = path.rfind('/');
  return disk->sync_directory(slash == std::string::npos ? "." : path.substr(0, slash + 1));
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
