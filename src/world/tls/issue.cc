#include "world/tls/issue.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/check.h"
#include "base/freed.h"
#include "base/log.h"

namespace quorate::world {
namespace {

using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

constexpr int64_t kSecondsPerYear = int64_t{365} * 24 * 3600;
// A member that starts a little before its neighbour's clock is right is believed all the same.
constexpr int64_t kClockSlackSeconds = 300;

Memory memory_of(const std::string& text) {
  return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string content(const Memory& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

bool is_address(const std::string& host) {
  unsigned char space[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), space) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), space) == 1;
}

void extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  CHECK(extension != nullptr, "what is written here is understood");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void describe(X509* certificate, X509* issuer, const CertificateWish& wish) {
  extend(certificate, issuer, NID_basic_constraints,
         wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(certificate, issuer, NID_key_usage,
         wish.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!wish.authority) extend(certificate, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  for (const std::string& host : wish.hosts) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    if (is_address(host)) {
      GENERAL_NAME_set0_value(name, GEN_IPADD, a2i_IPADDRESS(host.c_str()));
    } else {
      ASN1_IA5STRING* text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, host.data(), static_cast<int>(host.size()));
      GENERAL_NAME_set0_value(name, GEN_DNS, text);
    }
    sk_GENERAL_NAME_push(names, name);
  }
  if (!wish.hosts.empty()) X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0);
  GENERAL_NAMES_free(names);
}

uint64_t drawn_serial() {
  uint64_t serial = 0;
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1,
        "the system has random bytes");
  return (serial >> 1U) | 1U;  // positive, and not 0
}

Certificate unsigned_certificate(const CertificateWish& wish, EVP_PKEY* key) {
  Certificate made(X509_new());
  CHECK(made != nullptr, "out of memory");
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()),
                          wish.serial != 0 ? wish.serial : drawn_serial());
  ASN1_TIME_set(X509_getm_notBefore(made.get()), wish.valid_from);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), wish.valid_until);
  X509_set_pubkey(made.get(), key);
  X509_NAME* subject = X509_get_subject_name(made.get());
  const auto* name = reinterpret_cast<const unsigned char*>(wish.common_name.c_str());
  X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("quorate"), -1, -1, 0);
  if (!wish.common_name.empty()) {
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, name, -1, -1, 0);
  }
  return made;
}

// The key is there for its owner alone before the first byte of it is.
Result<void> write_file(const std::string& path, const std::string& text, unsigned int mode) {
  const auto problem = [&path] {
    return fail(ErrorKind::io, "cannot write \"" + path + "\": " + std::strerror(errno) +
                                   "; check the rights on the data directory");
  };
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (descriptor < 0) return problem();
  const ssize_t written = ::write(descriptor, text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size()) && ::fsync(descriptor) == 0;
  ::close(descriptor);
  if (!whole) return problem();
  return {};
}

bool is_usable(const CertificateFiles& files) {
  const Memory input(BIO_new_file(files.certificate.c_str(), "r"));
  const Certificate found(
      input == nullptr ? nullptr : PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return found != nullptr && X509_cmp_current_time(X509_get0_notAfter(found.get())) > 0 &&
         ::access(files.key.c_str(), R_OK) == 0;
}

}  // namespace

Result<CertificateAndKey> issue(const CertificateWish& wish, const CertificateAndKey* issuer) {
  ERR_clear_error();
  const Key key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr, "every OpenSSL knows this curve");
  const Certificate made = unsigned_certificate(wish, key.get());
  Certificate issuing;
  Key issuing_key;
  if (issuer != nullptr) {
    issuing.reset(
        PEM_read_bio_X509(memory_of(issuer->certificate).get(), nullptr, nullptr, nullptr));
    issuing_key.reset(
        PEM_read_bio_PrivateKey(memory_of(issuer->key).get(), nullptr, nullptr, nullptr));
    if (issuing == nullptr || issuing_key == nullptr) {
      return fail(ErrorKind::invalid, "the issuer's certificate or key is not PEM");
    }
  }
  X509* signer = issuing != nullptr ? issuing.get() : made.get();
  X509_set_issuer_name(made.get(), X509_get_subject_name(signer));
  describe(made.get(), signer, wish);
  EVP_PKEY* signing = issuing_key != nullptr ? issuing_key.get() : key.get();
  CHECK(X509_sign(made.get(), signing, EVP_sha256()) > 0, "a key made for it signs");
  const Memory certificate(BIO_new(BIO_s_mem()));
  const Memory secret(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate.get(), made.get());
  PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return CertificateAndKey{content(certificate), content(secret)};
}

Result<CertificateFiles> own_certificate(const std::string& directory,
                                         const std::vector<std::string>& hosts, int64_t years) {
  const CertificateFiles files{directory + "/cert.pem", directory + "/key.pem"};
  if (is_usable(files)) return files;
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return fail(ErrorKind::io, "cannot make \"" + directory + "\": " + error.message());
  }
  const int64_t now = std::time(nullptr);
  CertificateWish wish;
  wish.common_name = hosts.empty() ? "quorate" : hosts.front();
  wish.hosts = hosts;
  wish.valid_from = now - kClockSlackSeconds;
  wish.valid_until = now + years * kSecondsPerYear;
  auto made = issue(wish, nullptr);
  if (!made) return std::unexpected(made.error());
  // The key first: a certificate without one would be found usable.
  ::unlink(files.key.c_str());
  if (auto done = write_file(files.key, made->key, 0600); !done) {
    return std::unexpected(done.error());
  }
  if (auto done = write_file(files.certificate, made->certificate, 0644); !done) {
    return std::unexpected(done.error());
  }
  log(LogLevel::info, "made a certificate for this member: " + files.certificate);
  return files;
}

}  // namespace quorate::world
