// machine/etcd/backup.h: the state as etcd's own database file, ready for etcd's tools.
//
// A backup is one state: what was committed when it was made, whatever is written while it is
// read. It is made twice over: measure() goes through everything once to learn how large the file
// becomes and where its tree begins, which a stream must say first; read() goes through it again
// and hands it out. So nothing is stored meanwhile, neither in memory nor on the disk.
//
// Both are to be called until they say that they are done, each call does about as much as it is
// told. Blocking, any thread, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace quorate::storage {
class KvView;
}

namespace quorate::machine::etcd {

// The format as etcd 3.5 has it, which every version from 3.4 on takes: it says so by holding no
// version of its own.
inline constexpr std::string_view kBackupStorageVersion = "3.5.0";

struct BackupMember {
  uint64_t id = 0;
  std::string name;
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;
  bool learner = false;
};

class Backup {
 public:
  Backup(std::unique_ptr<const storage::KvView> state, std::vector<BackupMember> members);
  ~Backup();
  Backup(const Backup&) = delete;
  Backup& operator=(const Backup&) = delete;

  // True: done, bytes() is known. `work`: bytes of rows to go through.
  Result<bool> measure(size_t work);
  uint64_t bytes() const { return bytes_; }
  // Appends the next part of the file. True: that was the last. After measure() only.
  Result<bool> read(size_t work, std::string& out);

 private:
  struct Pass;
  struct Bucket {
    std::string_view name;
    std::vector<std::pair<std::string, std::string>> rows;
    char table = 0;  // not 0: rows come from a table of the store instead
  };

  Result<void> prepare();
  Result<bool> advance(Pass& pass, size_t work);
  Result<bool> copy_table(Pass& pass, const Bucket& bucket, size_t work, size_t& done);

  const std::unique_ptr<const storage::KvView> state_;
  const std::vector<BackupMember> members_;
  std::vector<Bucket> buckets_;
  std::unique_ptr<Pass> pass_;
  std::string front_;  // the first pages
  uint64_t bytes_ = 0;
};

}  // namespace quorate::machine::etcd
