// app/session.h: calls to a cluster through any of its endpoints, with only safe retries.
//
// A read may be tried again whenever nobody answered. A write is tried again only while it is
// certain that it was not applied; once that is in doubt the caller is told so, never guessed.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "front/grpc/client.h"

namespace quorate::app {

enum class Verdict : uint8_t {
  done,
  refused,      // the server understood and said no
  unavailable,  // nobody could serve it; surely not applied
  unknown       // sent, and may or may not have been applied
};

struct Response {
  Verdict verdict = Verdict::unavailable;
  std::string text;  // a sentence when not done
  std::string body;
};

// What an answer means for a write.
Verdict judge_write(const front::grpc::Answer& answer);
// What it means for a read: there is no doubt, only now or later.
Verdict judge_read(const front::grpc::Answer& answer);
int exit_code(Verdict verdict);

inline constexpr char kPathRange[] = "/etcdserverpb.KV/Range";
inline constexpr char kPathPut[] = "/etcdserverpb.KV/Put";
inline constexpr char kPathDelete[] = "/etcdserverpb.KV/DeleteRange";
inline constexpr char kPathTxn[] = "/etcdserverpb.KV/Txn";
inline constexpr char kPathCompact[] = "/etcdserverpb.KV/Compact";
inline constexpr char kPathStatus[] = "/etcdserverpb.Maintenance/Status";
inline constexpr char kPathMoveLeader[] = "/etcdserverpb.Maintenance/MoveLeader";
inline constexpr char kPathMemberList[] = "/etcdserverpb.Cluster/MemberList";
inline constexpr char kPathMemberAdd[] = "/etcdserverpb.Cluster/MemberAdd";
inline constexpr char kPathMemberRemove[] = "/etcdserverpb.Cluster/MemberRemove";
inline constexpr char kPathMemberUpdate[] = "/etcdserverpb.Cluster/MemberUpdate";
inline constexpr char kPathMemberPromote[] = "/etcdserverpb.Cluster/MemberPromote";
inline constexpr char kPathMemberReplace[] = "/quorate.Members/Replace";

class Session {
 public:
  // `security`: for endpoints that are https://; outlives this.
  Session(std::vector<std::string> endpoints, Duration timeout,
          world::Security* security = nullptr);

  Response read(std::string_view path, std::string_view request);
  Response write(std::string_view path, std::string_view request);
  // One endpoint, once: for questions about that very member.
  Response ask(const std::string& endpoint, std::string_view path, std::string_view request);

  const std::vector<std::string>& endpoints() const { return endpoints_; }

 private:
  Response call(std::string_view path, std::string_view request, bool writes);
  Result<front::grpc::Client*> client(Duration patience);

  std::vector<std::string> endpoints_;
  Duration timeout_;
  world::Security* security_;
  size_t current_ = 0;
  std::unique_ptr<front::grpc::Client> client_;
};

// The endpoints reordered so that the leader's, if one is reachable, comes first.
std::vector<std::string> leader_first(std::vector<std::string> endpoints, Duration timeout,
                                      world::Security* security);

}  // namespace quorate::app
