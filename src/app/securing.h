// app/securing.h: from flags to TLS: what each side shows and demands.
#pragma once

#include <memory>
#include <string>

#include "app/config.h"
#include "world/secure.h"

namespace quorate::app {

// Of connections that clients make; null when every URL for them is plain.
Result<std::unique_ptr<world::Security>> client_security(const ServeConfig& config);

// Of connections between members; null when nothing asks for any.
Result<std::unique_ptr<world::Security>> peer_security(const ServeConfig& config);

// What the command line says about reaching servers.
struct Credentials {
  std::string authorities_file;
  std::string certificate_file;
  std::string key_file;
  bool trusts_anyone = false;
  bool plain = true;  // endpoints without a scheme, unless one of the others is set
  bool given() const {
    return !authorities_file.empty() || !certificate_file.empty() || !key_file.empty() ||
           trusts_anyone || !plain;
  }
};
Result<std::unique_ptr<world::Security>> command_security(const Credentials& credentials);

}  // namespace quorate::app
