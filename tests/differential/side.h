// tests/differential/side.h: one of the two servers as its client sees it.
//
// Calls are made one after the other; watches run beside them on their streams, and what they say
// is kept as lines, for each watcher in its order. How a server groups events into responses is
// not part of a line: it depends on when the events came.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster.h"
#include "etcd.pb.h"
#include "front/grpc/test_client.h"
#include "operation.h"
#include "plant.h"

namespace quorate::differential {

struct Answer {
  bool answered = false;
  int status = -1;
  std::string text;                   // the error's
  std::unique_ptr<Message> response;  // with status 0
};

struct WatchStream {
  int32_t stream = 0;
  std::map<int64_t, std::vector<std::string>> lines;  // by watch id; -1: about none or all
  std::map<int64_t, int64_t> sentinel;  // watch id -> latest revision of the sentinel's put seen
  std::map<int64_t, int64_t> live;      // watch id -> the revision it began at
  int64_t created = 0;                  // answers to create requests
  int64_t canceled = 0;
  uint64_t fragments = 0;  // responses that go on in the next one
  int64_t progress = 0;    // revision of the latest answer to a progress request
};

// The key that runs put to see that all watches have come so far.
inline constexpr std::string_view kSentinelKey = "zz-sentinel";

class Side {
 public:
  enum class Role : uint8_t { leader, follower };
  // role: of the member to talk to.
  Side(Cluster& cluster, Role role, Plant plant)
      : cluster_(cluster), role_(role), planter_(plant) {}

  // Starts every member and connects to one. Empty: good; else why not.
  std::string open();
  // Connects to another member than `without`; streams begin anew.
  std::string connect(size_t without);
  // The member that leads, or none.
  std::optional<size_t> leader();
  Answer call(const Operation& operation);
  Answer call(std::string_view name, const Message& request);
  // Sends a call and does not wait; the other one waits for it to end, however.
  int32_t begin(std::string_view name, const Message& request);
  void wait_end(int32_t call);

  WatchStream& stream(size_t number);
  bool has_stream(size_t number) const { return streams_.contains(number); }
  std::map<size_t, WatchStream>& streams() { return streams_; }
  void send(size_t number, const etcdserverpb::WatchRequest& request);
  void pump(std::chrono::milliseconds patience);

  Cluster& cluster() { return cluster_; }
  size_t member() const { return member_; }

 private:
  Answer call_bytes(const std::string& path, const std::string& bytes, const Message* response);
  bool has_role(size_t member);
  void read_stream(WatchStream& stream);
  void take(WatchStream& stream, const etcdserverpb::WatchResponse& response);

  Cluster& cluster_;
  Role role_;
  Planter planter_;
  size_t member_ = 0;
  std::unique_ptr<front::grpc::TestClient> client_;
  std::map<size_t, WatchStream> streams_;
};

}  // namespace quorate::differential
