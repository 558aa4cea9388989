// world/tls/tls.h: TLS 1.2 and 1.3 over OpenSSL behind world/secure.h.
//
// Files are read again before a handshake whenever they have changed, so that certificates can be
// replaced while the process runs. New files that are of no use are complained about once, and the
// old ones stay in force. Sessions are never resumed: every connection is judged by today's rules.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "world/secure.h"

namespace quorate::world {

struct TlsOptions {
  std::string subject = "clients";  // in the log: whom these connections are with
  std::string certificate_file;     // PEM, issuers behind it; none: this side only dials
  std::string key_file;
  std::string authorities_file;  // who may issue the other side's; empty: those of the system
  std::string revoked_file;      // a list in PEM or DER; serial numbers count, whoever issued them
  bool certificate_demanded = false;       // of those who connect
  bool identifying = false;                // their certificates say who they are: common_name()
  bool trusts_anyone = false;              // those that are dialled show what they like
  std::vector<std::string> allowed_names;  // one of these common names must be the other side's
  std::vector<std::string> allowed_hosts;  // its certificate must be for one of these
  std::vector<std::string> cipher_suites;  // names of IANA's registry; none: those below
  std::string version_min;                 // TLS1.2 or TLS1.3; empty: TLS1.2
  std::string version_max;                 // empty: TLS1.3
  std::vector<std::string> protocols;      // ALPN, the preferred first
};

// An error names the file or the word that is wrong.
Result<std::unique_ptr<Security>> make_tls(TlsOptions options);

}  // namespace quorate::world
