// app/session.h: calls to a cluster through any of its endpoints, with only safe retries.
//
// A read may be tried again whenever nobody answered. A write is tried again only while it is
// certain that it was not applied; once that is in doubt the caller is told so, never guessed.
#pragma once

#include <deque>
#include <memory>
#include <span>
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

inline constexpr char kPathAuthenticate[] = "/etcdserverpb.Auth/Authenticate";
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

// How a cluster is reached, and as whom.
struct Access {
  std::vector<std::string> endpoints;   // host:port, https://host:port
  world::Security* security = nullptr;  // for those that are https://; outlives all users
  Duration timeout = std::chrono::seconds(10);
  Duration dial_timeout = std::chrono::seconds(2);
  std::string user;  // empty: no token is asked for
  std::string password;
};

// A call with many messages each way (watch, lease keep-alive, observe). It stays at the endpoint
// where it was opened; when it ends, whoever needs it opens another one.
class Stream {
 public:
  Stream(std::unique_ptr<front::grpc::Client> client, std::string_view path,
         std::string_view first);

  struct Event {
    enum class Kind : uint8_t { nothing, message, ended };
    Kind kind = Kind::nothing;
    std::string message;
    front::grpc::Answer answer;  // of the end
  };
  void send(std::string_view message) { client_->send(call_, message); }
  // Waits until something arrives, one of `others` can be read, or `timeout` has passed.
  Event next(Duration timeout, std::span<const int> others = {});

 private:
  std::unique_ptr<front::grpc::Client> client_;
  uint64_t call_ = 0;
  std::deque<front::grpc::Arrival> arrived_;
};

class Session {
 public:
  explicit Session(Access access);

  Response read(std::string_view path, std::string_view request);
  Response write(std::string_view path, std::string_view request);
  // One endpoint, once: for questions about that very member.
  Response ask(const std::string& endpoint, std::string_view path, std::string_view request);

  // A connection of its own, with a token if there is a user.
  Result<std::unique_ptr<front::grpc::Client>> connect(const std::string& endpoint,
                                                       Duration patience);
  // Of the user, for whoever connects by other means.
  Result<std::string> token();
  // A stream at any endpoint, its first message sent.
  Result<std::unique_ptr<Stream>> open(std::string_view path, std::string_view first);

  // The endpoint in use does not serve us: the next one may.
  void move_on();

  const std::vector<std::string>& endpoints() const { return access_.endpoints; }
  const Access& access() const { return access_; }

 private:
  Response call(std::string_view path, std::string_view request, bool writes);
  Result<front::grpc::Client*> client(Duration patience);
  Result<std::unique_ptr<front::grpc::Client>> connect_anywhere();
  Result<void> authenticate(front::grpc::Client& client);
  front::grpc::Answer once(front::grpc::Client& client, std::string_view path,
                           std::string_view request, Duration patience);

  Access access_;
  size_t current_ = 0;
  std::string token_;  // of access_.user, once it is known
  std::unique_ptr<front::grpc::Client> client_;
};

// The endpoints reordered so that the leader's, if one is reachable, comes first.
std::vector<std::string> leader_first(const Access& access, Duration timeout);

}  // namespace quorate::app
