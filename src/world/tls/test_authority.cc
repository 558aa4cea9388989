#include "world/tls/test_authority.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace quorate::world {
namespace {

constexpr int64_t kHour = 3600;

CertificateAndKey issued(const CertificateWish& wish, const CertificateAndKey* issuer) {
  auto made = issue(wish, issuer);
  CHECK(made.has_value(), "a test's wishes can be met");
  return *made;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name) {
  std::string pattern = std::filesystem::temp_directory_path() / "quorate-tls-XXXXXX";
  CHECK(::mkdtemp(pattern.data()) != nullptr, "the system has a directory for such files");
  directory_ = pattern;
  CertificateWish wish;
  wish.common_name = name;
  wish.valid_from = std::time(nullptr) - kHour;
  wish.valid_until = wish.valid_from + 24 * kHour;
  wish.authority = true;
  authority_ = issued(wish, nullptr);
  write(authority_file(), authority_.certificate);
}

TestAuthority::~TestAuthority() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestAuthority::write(const std::string& path, const std::string& content) {
  std::ofstream output(path, std::ios::binary | std::ios::trunc);
  output << content;
  output.close();
  CHECK(output.good(), "test files can be written");
}

CertificateFiles TestAuthority::make(const std::string& common_name, uint64_t serial,
                                     int64_t from_seconds, const std::vector<std::string>& hosts) {
  CertificateWish wish;
  wish.common_name = common_name;
  wish.serial = serial;
  wish.hosts = hosts;
  wish.valid_from = std::time(nullptr) + from_seconds;
  wish.valid_until = wish.valid_from + kHour;
  const CertificateAndKey made = issued(wish, &authority_);
  const std::string name = file(std::to_string(++made_));
  const CertificateFiles files{name + ".pem", name + "-key.pem"};
  write(files.certificate, made.certificate);
  write(files.key, made.key);
  return files;
}

void TestAuthority::replace(const CertificateFiles& files, const std::string& common_name) {
  const CertificateFiles fresh = make(common_name);
  std::filesystem::rename(fresh.certificate, files.certificate);
  std::filesystem::rename(fresh.key, files.key);
}

std::string TestAuthority::revoke(const std::vector<uint64_t>& serials, bool pem) {
  BIO* input = BIO_new_mem_buf(authority_.key.data(), static_cast<int>(authority_.key.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(input, nullptr, nullptr, nullptr);
  X509_CRL* list = X509_CRL_new();
  ASN1_TIME* now = ASN1_TIME_set(nullptr, std::time(nullptr));
  X509_CRL_set1_lastUpdate(list, now);
  for (const uint64_t serial : serials) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set_uint64(number, serial);
    X509_REVOKED_set_serialNumber(entry, number);
    X509_REVOKED_set_revocationDate(entry, now);
    X509_CRL_add0_revoked(list, entry);
    ASN1_INTEGER_free(number);
  }
  CHECK(X509_CRL_sign(list, key, EVP_sha256()) > 0, "the authority's key signs");
  std::string path = file(std::to_string(++made_) + ".crl");
  BIO* output = BIO_new_file(path.c_str(), "wb");
  CHECK((pem ? PEM_write_bio_X509_CRL(output, list) : i2d_X509_CRL_bio(output, list)) == 1,
        "test files can be written");
  BIO_free(output);
  ASN1_TIME_free(now);
  X509_CRL_free(list);
  EVP_PKEY_free(key);
  BIO_free(input);
  return path;
}

}  // namespace quorate::world
