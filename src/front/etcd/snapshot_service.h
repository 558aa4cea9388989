// front/etcd/snapshot_service.h: Maintenance.Snapshot: the member's state as a stream of etcd's
// own database file, with its SHA-256 as the last message.
//
// The state is that of one moment, whatever is written while a client takes its time. Reading it
// and the digest are the work of the background lane, a bounded piece at a time; the loop only
// hands pieces to the socket, and asks for the next one when the last has left.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "front/etcd/api.h"
#include "front/etcd/paced_calls.h"
#include "machine/etcd/backup.h"

namespace quorate::front::etcd {

class SnapshotService final : public grpc::StreamHandler {
 public:
  explicit SnapshotService(Api& api);
  void on_draining();

  void on_open(grpc::CallId call) override;
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId /*call*/) override {}
  void on_writable(grpc::CallId call) override;
  void on_closed(grpc::CallId call) override;

 private:
  // What a job on the lane works on; while one is under way it is the job's alone.
  struct Work {
    std::unique_ptr<machine::etcd::Backup> backup;
    Sha256 digest;
    std::string piece;
    bool measured = false;
    bool finished = false;
    std::optional<Error> error;
    void step();
  };
  struct Stream {
    grpc::CallId call;
    std::shared_ptr<Work> work;
    uint64_t sent = 0;
  };

  std::vector<machine::etcd::BackupMember> members() const;
  Stream* find(grpc::CallId call);
  void go_on(grpc::CallId call);
  void on_step(grpc::CallId call);
  void send(Stream& stream);

  Api& api_;
  PacedCalls paced_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace quorate::front::etcd
