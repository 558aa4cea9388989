// front/etcd/callers.h: who calls: by a token of ours, a signed one, or a client's certificate.
//
// A token of ours is given out by a log entry, so that every member hears of it from its own state,
// and is good on a member as long as it was used there within its life. Invariant: a token is
// believed only while the auth store says that what it proved still holds.
#pragma once

#include <deque>
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "front/etcd/errors.h"
#include "front/etcd/server.h"
#include "front/etcd/token_signer.h"
#include "front/grpc/server.h"
#include "machine/etcd/auth_book.h"
#include "world/executor.h"

namespace quorate::front::etcd {

// Each is a client connection of its own, as a rule, with five minutes to live: far more than come.
// The oldest goes when one more is given out; its client authenticates again.
inline constexpr size_t kTokensMax = 100000;
// Signed tokens whose signature was found good, so that it is not computed anew for each call.
inline constexpr size_t kVerifiedMax = 4096;

class Callers {
 public:
  Callers(world::Executor& executor, grpc::Server& server, const AuthOptions& options);

  // The caller's name lies in here, or in the call: good for the current task.
  std::expected<machine::etcd::Caller, ApiError> identify(grpc::CallId call,
                                                          const machine::etcd::AuthBook& auth);
  // Whether it brings a token that was given out by an entry which is not applied here yet.
  bool is_ahead(grpc::CallId call, Index applied) const;
  // Learns the tokens that were given out since the last time, and forgets the old ones.
  void follow(const machine::etcd::AuthBook& auth);
  void forget();

 private:
  struct Token {
    std::string user;
    uint64_t auth_revision = 0;  // when it was given out
    Time expires;
  };
  using Tokens = std::map<std::string, Token, std::less<>>;

  std::expected<machine::etcd::Caller, ApiError> find_signed(std::string_view token);
  std::expected<machine::etcd::Caller, ApiError> find_own(std::string_view token,
                                                          const machine::etcd::AuthBook& auth);
  void add(const machine::etcd::TokenNews& news);

  world::Executor& executor_;
  grpc::Server& server_;
  const Duration life_;
  std::shared_ptr<TokenSigner> signer_;
  Tokens tokens_;
  std::deque<std::pair<Time, std::string>> ends_;  // each token once, roughly in order
  std::map<std::string, TokenClaims, std::less<>> verified_;
  Index seen_;  // news up to here are known
};

}  // namespace quorate::front::etcd
