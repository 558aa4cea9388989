// world/tls/materials.h: what the files of one TlsOptions held when they were read: a context of
// OpenSSL, and the numbers of revoked certificates. Never changes; channels keep theirs.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "world/tls/tls.h"

struct ssl_ctx_st;  // NOLINT(readability-identifier-naming): the name is OpenSSL's

namespace quorate::world {

struct Materials {
  explicit Materials(std::shared_ptr<const TlsOptions> rules_given)
      : rules(std::move(rules_given)) {}
  Materials(const Materials&) = delete;
  Materials& operator=(const Materials&) = delete;
  ~Materials();

  std::shared_ptr<const TlsOptions> rules;
  std::string protocols_wire;     // as in the handshake: each with its length in front
  std::set<std::string> revoked;  // serial numbers in hexadecimal
  ssl_ctx_st* context = nullptr;
};

Result<std::shared_ptr<const Materials>> load_materials(std::shared_ptr<const TlsOptions> rules);
// OpenSSL's oldest complaint of this thread, in its words; forgets all of them.
std::string library_complaint();

}  // namespace quorate::world
