#include "world/tls/tls.h"

#include <sys/stat.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "world/tls/channel.h"
#include "world/tls/materials.h"

namespace quorate::world {
namespace {

// Tells whether a file is the one that was read. Replaced, rewritten or gone, one of these differs.
struct Stamp {
  uint64_t inode = 0;
  int64_t size = -1;
  int64_t seconds = 0;
  int64_t nanoseconds = 0;
  bool operator==(const Stamp&) const = default;
};

Stamp stamp_of(const std::string& file) {
  struct stat found{};
  if (file.empty() || ::stat(file.c_str(), &found) != 0) return {};
  return {found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

class Tls final : public Security {
 public:
  explicit Tls(TlsOptions options)
      : rules_(std::make_shared<const TlsOptions>(std::move(options))), stamps_(stamps()) {}
  Result<void> load() {
    auto loaded = load_materials(rules_);
    if (!loaded) return std::unexpected(loaded.error());
    materials_ = std::move(*loaded);
    return {};
  }
  std::unique_ptr<SecureChannel> accept() override {
    CHECK(!rules_->certificate_file.empty(), "who listens has a certificate");
    refresh();
    return make_accepting_channel(materials_);
  }
  std::unique_ptr<SecureChannel> dial(const std::string& host) override {
    refresh();
    return make_dialling_channel(materials_, host);
  }

 private:
  using Stamps = std::array<Stamp, 4>;
  Stamps stamps() const {
    return {stamp_of(rules_->certificate_file), stamp_of(rules_->key_file),
            stamp_of(rules_->authorities_file), stamp_of(rules_->revoked_file)};
  }
  void refresh();

  const std::shared_ptr<const TlsOptions> rules_;
  Stamps stamps_;  // before the files were read, so that a change in between is seen later
  std::shared_ptr<const Materials> materials_;
};

void Tls::refresh() {
  const Stamps current = stamps();
  if (current == stamps_) return;
  stamps_ = current;
  if (auto done = load(); !done) {
    log(LogLevel::error, "the new TLS files for " + rules_->subject + " are of no use: " +
                             done.error().text + "; the ones read before stay in force");
    return;
  }
  log(LogLevel::info, "read the TLS files for " + rules_->subject + " again: they have changed");
}

}  // namespace

Result<std::unique_ptr<Security>> make_tls(TlsOptions options) {
  auto made = std::make_unique<Tls>(std::move(options));
  if (auto loaded = made->load(); !loaded) return std::unexpected(loaded.error());
  return std::unique_ptr<Security>(std::move(made));
}

}  // namespace quorate::world
