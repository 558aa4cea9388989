// front/etcd/token_signer.h: tokens that carry what they prove, signed with a key (JSON web
// tokens). The application has the cryptography; this is all that the front needs of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::front::etcd {

struct TokenClaims {
  std::string user;
  uint64_t auth_revision = 0;
  int64_t expires = 0;  // seconds since 1970
};

class TokenSigner {
 public:
  virtual ~TokenSigner() = default;
  // nullopt: there is only a key to verify with.
  virtual std::optional<std::string> sign(std::string_view user, uint64_t auth_revision,
                                          int64_t now_seconds) = 0;
  // nullopt: not signed with our key and in our way. Whether it has expired is the caller's to see.
  virtual std::optional<TokenClaims> verify(std::string_view token) = 0;
};

}  // namespace quorate::front::etcd
