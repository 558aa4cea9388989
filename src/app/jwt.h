// app/jwt.h: JSON web tokens for `--auth-token jwt,...`: signed with a private key, verified with
// the public one. The cryptography is OpenSSL's.
//
// A token says user, auth revision and when it ends, as etcd's do, so either takes the other's
// where the keys are the same. What claims another algorithm than the one configured is refused
// before any key is looked at: a public key must never serve as the secret of a cheaper algorithm.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "front/etcd/token_signer.h"

namespace quorate::app {

// `specification` as etcd takes it: "jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m".
Result<std::shared_ptr<front::etcd::TokenSigner>> make_jwt_signer(const std::string& specification);

}  // namespace quorate::app
