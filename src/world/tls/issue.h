// world/tls/issue.h: makes certificates: for --auto-tls, and for tests. Not for anything that
// strangers should trust: who needs that has an authority of their own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace quorate::world {

struct CertificateAndKey {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

struct CertificateWish {
  std::string common_name;
  std::vector<std::string> hosts;  // names and addresses
  int64_t valid_from = 0;          // seconds since 1970
  int64_t valid_until = 0;
  uint64_t serial = 0;  // 0: drawn
  bool authority = false;
};

// Signed by `issuer`, or by itself when that is null.
Result<CertificateAndKey> issue(const CertificateWish& wish, const CertificateAndKey* issuer);

struct CertificateFiles {
  std::string certificate;
  std::string key;
};
// The certificate in `directory` (cert.pem, key.pem) for these hosts, made if there is none or if
// it has expired.
Result<CertificateFiles> own_certificate(const std::string& directory,
                                         const std::vector<std::string>& hosts, int64_t years);

}  // namespace quorate::world
