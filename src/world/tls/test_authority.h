// world/tls/test_authority.h: for tests: an authority, and certificates good and bad, made anew in
// a directory of their own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "world/tls/issue.h"

namespace quorate::world {

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  std::string file(const std::string& name) const { return directory_ + "/" + name; }
  std::string authority_file() const { return file("ca.pem"); }
  // Valid for an hour from now plus `from_seconds` on.
  CertificateFiles make(const std::string& common_name, uint64_t serial = 0,
                        int64_t from_seconds = -60,
                        const std::vector<std::string>& hosts = {"localhost", "127.0.0.1"});
  // Puts new ones in the place of `files`.
  void replace(const CertificateFiles& files, const std::string& common_name);
  // A list of revocations; returns its path.
  std::string revoke(const std::vector<uint64_t>& serials, bool pem);
  static void write(const std::string& path, const std::string& content);

 private:
  std::string directory_;
  CertificateAndKey authority_;
  int made_ = 0;
};

}  // namespace quorate::world
