#include "world/tls/materials.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "base/freed.h"
#include "base/log.h"
#include "world/tls/text.h"

namespace quorate::world {
namespace {

// With forward secrecy and authenticated encryption only; every client of the last ten years has
// one of these. Go's own list, which etcd uses, adds older ones for the sake of browsers.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::unexpected<Error> unusable(const std::string& file, const std::string& why,
                                const std::string& advice) {
  return fail(ErrorKind::invalid, "cannot use \"" + file + "\": " + why + "; " + advice);
}

Result<int> version_number(const std::string& name, int fallback) {
  if (name.empty()) return fallback;
  if (name == "TLS1.2") return TLS1_2_VERSION;
  if (name == "TLS1.3") return TLS1_3_VERSION;
  return fail(ErrorKind::invalid,
              "\"" + name + "\" is no version of TLS that is spoken here; use TLS1.2 or TLS1.3");
}

Result<void> set_versions(const TlsOptions& options, SSL_CTX* context) {
  const auto least = version_number(options.version_min, TLS1_2_VERSION);
  if (!least) return std::unexpected(least.error());
  const auto most = version_number(options.version_max, TLS1_3_VERSION);
  if (!most) return std::unexpected(most.error());
  if (*least > *most) {
    return fail(ErrorKind::invalid, "the least version of TLS, " + options.version_min +
                                        ", is above the greatest, " + options.version_max);
  }
  CHECK(SSL_CTX_set_min_proto_version(context, *least) == 1, "a version OpenSSL knows");
  CHECK(SSL_CTX_set_max_proto_version(context, *most) == 1, "a version OpenSSL knows");
  return {};
}

// Suites of TLS 1.3 and older ones are set apart in OpenSSL. A kind of which none is named keeps
// its own list, as with etcd.
Result<void> set_ciphers(const TlsOptions& options, SSL_CTX* context) {
  std::string older;
  std::string newer;
  for (const std::string& name : options.cipher_suites) {
    const bool has_hash = name.ends_with("_SHA256") || !name.ends_with("_POLY1305");
    // Go called these without their hash once, and configurations still do.
    const std::string official = has_hash ? name : name + "_SHA256";
    const std::string known = OPENSSL_cipher_name(official.c_str());
    std::string& list = known.starts_with("TLS_") ? newer : older;
    if (known == "(NONE)") {
      return fail(ErrorKind::invalid,
                  "the cipher suite \"" + name +
                      "\" is unknown; write it like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    }
    list += (list.empty() ? "" : ":") + known;
  }
  if (SSL_CTX_set_cipher_list(context, older.empty() ? kCiphers : older.c_str()) != 1 ||
      (!newer.empty() && SSL_CTX_set_ciphersuites(context, newer.c_str()) != 1)) {
    return fail(ErrorKind::invalid, "none of the cipher suites can be used: " +
                                        library_complaint() + "; name others, or none");
  }
  return {};
}

void warn_of_dates(const TlsOptions& options, const X509* certificate) {
  if (certificate == nullptr) return;
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    log(LogLevel::error, "the certificate \"" + options.certificate_file + "\" for " +
                             options.subject + " expired on " +
                             time_text(X509_get0_notAfter(certificate)) +
                             ": they will refuse it; replace the file, it is read again then");
  } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    log(LogLevel::error, "the certificate \"" + options.certificate_file + "\" for " +
                             options.subject + " is not valid before " +
                             time_text(X509_get0_notBefore(certificate)) +
                             ": they will refuse it until then");
  }
}

Result<void> load_certificate(const TlsOptions& options, SSL_CTX* context) {
  if (options.certificate_file.empty() && options.key_file.empty()) return {};
  const std::string& certificate = options.certificate_file;
  const std::string& key = options.key_file;
  if (certificate.empty() || key.empty()) {
    return fail(ErrorKind::invalid, "a certificate and its key go together: one of the files for " +
                                        options.subject + " is not named");
  }
  // Without this OpenSSL would ask whoever sits at the terminal.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    return unusable(certificate, library_complaint(), "it must hold a certificate in PEM");
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return unusable(key, library_complaint(),
                    "it must hold the key of \"" + certificate + "\" in PEM, without a password");
  }
  warn_of_dates(options, SSL_CTX_get0_certificate(context));
  return {};
}

Result<void> load_authorities(const TlsOptions& options, SSL_CTX* context) {
  const std::string& file = options.authorities_file;
  if (file.empty()) {
    if (options.trusts_anyone && !options.certificate_demanded) return {};
    CHECK(SSL_CTX_set_default_verify_paths(context) == 1, "out of memory");
    return {};
  }
  if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) {
    return unusable(file, library_complaint(), "it must hold certificates of authorities in PEM");
  }
  // Clients with several certificates choose by these names.
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(file.c_str());
  if (names != nullptr) SSL_CTX_set_client_CA_list(context, names);
  return {};
}

Result<void> load_revoked(const TlsOptions& options, std::set<std::string>& revoked) {
  const std::string& file = options.revoked_file;
  if (file.empty()) return {};
  const std::unique_ptr<BIO, Freed<BIO_free>> input(BIO_new_file(file.c_str(), "rb"));
  if (input == nullptr) return unusable(file, library_complaint(), "name a list of revocations");
  std::unique_ptr<X509_CRL, Freed<X509_CRL_free>> list(
      PEM_read_bio_X509_CRL(input.get(), nullptr, nullptr, nullptr));
  if (list == nullptr) {
    ERR_clear_error();
    BIO_seek(input.get(), 0);
    list.reset(d2i_X509_CRL_bio(input.get(), nullptr));
  }
  if (list == nullptr) {
    return unusable(file, library_complaint(), "it must hold a list of revocations, PEM or DER");
  }
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(list.get());
  for (int at = 0; at < sk_X509_REVOKED_num(entries); ++at) {
    revoked.insert(serial_text(X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(entries, at))));
  }
  return {};
}

// NOLINTNEXTLINE(readability-function-size): the signature is OpenSSL's
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned int offered_size, void* user) {
  const auto& wire = static_cast<const Materials*>(user)->protocols_wire;
  unsigned char* choice = nullptr;
  const int outcome =
      SSL_select_next_proto(&choice, size, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned int>(wire.size()), offered, offered_size);
  *chosen = choice;
  return outcome == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void set_protocols(Materials& materials) {
  for (const std::string& name : materials.rules->protocols) {
    materials.protocols_wire += static_cast<char>(name.size());
    materials.protocols_wire += name;
  }
  if (materials.protocols_wire.empty()) return;
  SSL_CTX_set_alpn_select_cb(materials.context, choose_protocol, &materials);
  const auto* wire = reinterpret_cast<const unsigned char*>(materials.protocols_wire.data());
  // This one answers 0 when all is well.
  CHECK(SSL_CTX_set_alpn_protos(materials.context, wire,
                                static_cast<unsigned int>(materials.protocols_wire.size())) == 0,
        "out of memory");
}

SSL_CTX* new_context() {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  CHECK(context != nullptr, "out of memory");
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  CHECK(SSL_CTX_set_num_tickets(context, 0) == 1, "a number of tickets");
  // An idle connection gives its 34 KiB of record buffers back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

}  // namespace

Materials::~Materials() { SSL_CTX_free(context); }

std::string library_complaint() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "no reason given";
}

Result<std::shared_ptr<const Materials>> load_materials(std::shared_ptr<const TlsOptions> rules) {
  ERR_clear_error();
  auto made = std::make_shared<Materials>(std::move(rules));
  const TlsOptions& options = *made->rules;
  made->context = new_context();
  for (const auto& step : {set_versions, set_ciphers, load_certificate, load_authorities}) {
    if (auto done = step(options, made->context); !done) return std::unexpected(done.error());
  }
  if (auto done = load_revoked(options, made->revoked); !done) {
    return std::unexpected(done.error());
  }
  set_protocols(*made);
  return made;
}

}  // namespace quorate::world
