#include "world/tls/channel.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "world/tls/text.h"

namespace quorate::world {
namespace {

bool is_address(const std::string& host) {
  unsigned char space[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), space) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), space) == 1;
}

// As in Go: the common name of a certificate is no host name.
constexpr unsigned int kHostFlags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

bool is_for_host(X509* certificate, const std::string& host) {
  if (is_address(host)) return X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
  return X509_check_host(certificate, host.data(), host.size(), kHostFlags, nullptr) == 1;
}

struct KnownReason {
  int reason;
  const char* text;
};
// What OpenSSL reports, as a sentence about the other side. Its words for the rest.
constexpr KnownReason kReasons[] = {
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it demands a certificate and was shown none"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
     "it refuses our certificate, or the lack of one; its log may say why"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it says that our certificate has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it says that our certificate was revoked"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it refuses our certificate; its log may say why"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED,
     "it does not admit whom our certificate names; its log may say why"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not know the authority that issued our certificate"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it showed no certificate, and one is demanded"},
    {SSL_R_WRONG_VERSION_NUMBER, "what it sent is not TLS; does it speak plain text (http://)?"},
    {SSL_R_HTTP_REQUEST, "what it sent is not TLS but plain HTTP; it has to use https://"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "it speaks no version of TLS that is allowed here"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it allows no version of TLS that is spoken here"},
    {SSL_R_NO_SHARED_CIPHER, "it offers no cipher suite that is allowed here"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "it found nothing to agree on; its log may say why"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "it offers neither HTTP/2 nor HTTP/1.1"}};

// Fatal alerts of the other side are reported from this number on.
constexpr int kAlertReasons = SSL_AD_REASON_OFFSET;
constexpr int kAlertReasonsEnd = kAlertReasons + 256;

bool is_about_certificate(int alert) {
  return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
         alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED ||
         alert == SSL_AD_CERTIFICATE_REQUIRED;
}

class TlsChannel final : public SecureChannel {
 public:
  TlsChannel(std::shared_ptr<const Materials> materials, bool dials);
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;
  ~TlsChannel() override { SSL_free(ssl_); }
  void expect_host(const std::string& host);

  void feed(std::string_view sealed) override { input_ = sealed; }
  size_t read(std::span<uint8_t> plain, std::string& sealed) override;
  void write(std::string_view plain, std::string& sealed) override;
  void finish(std::string& sealed) override;
  bool open() const override { return open_ && problem_.empty(); }
  bool ended() const override { return ended_; }
  const std::string& problem() const override { return problem_; }
  bool turned_away() const override { return turned_away_; }
  std::string_view common_name() const override { return common_name_; }

 private:
  static BIO_METHOD* bytes_method();
  static int on_bytes_wanted(BIO* bio, char* target, int room);
  static int on_bytes_given(BIO* bio, const char* bytes, int size);
  static int on_verify(int fine, X509_STORE_CTX* store);
  static int place_in_session();
  bool shake_hands();
  int judge(X509* certificate, int depth) const;
  std::string objection(X509* certificate, int error) const;
  void break_off();

  const std::shared_ptr<const Materials> materials_;
  const bool dials_;
  SSL* ssl_;
  std::string host_;
  std::string_view input_;
  std::string* output_ = nullptr;  // during a call
  bool open_ = false;
  bool ended_ = false;
  bool heard_ = false;  // plain bytes came
  bool turned_away_ = false;
  std::string problem_;
  std::string common_name_;
};

// ---- Bytes in, bytes out: OpenSSL reads from input_ and writes to *output_, without a copy more.

int TlsChannel::on_bytes_wanted(BIO* bio, char* target, int room) {
  auto& self = *static_cast<TlsChannel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (self.input_.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const size_t size = std::min(static_cast<size_t>(room), self.input_.size());
  std::memcpy(target, self.input_.data(), size);
  self.input_.remove_prefix(size);
  return static_cast<int>(size);
}

int TlsChannel::on_bytes_given(BIO* bio, const char* bytes, int size) {
  auto& self = *static_cast<TlsChannel*>(BIO_get_data(bio));
  CHECK(self.output_ != nullptr, "OpenSSL writes only while it is called");
  self.output_->append(bytes, static_cast<size_t>(size));
  return size;
}

BIO_METHOD* TlsChannel::bytes_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");
    CHECK(made != nullptr, "out of memory");
    BIO_meth_set_read(made, on_bytes_wanted);
    BIO_meth_set_write(made, on_bytes_given);
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long {
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    });
    return made;
  }();
  return method;
}

int TlsChannel::place_in_session() {
  static const int place = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return place;
}

TlsChannel::TlsChannel(std::shared_ptr<const Materials> materials, bool dials)
    : materials_(std::move(materials)), dials_(dials), ssl_(SSL_new(materials_->context)) {
  CHECK(ssl_ != nullptr, "out of memory");
  BIO* bio = BIO_new(bytes_method());
  CHECK(bio != nullptr, "out of memory");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_ex_data(ssl_, place_in_session(), this);
  const TlsOptions& rules = *materials_->rules;
  if (dials_) {
    SSL_set_connect_state(ssl_);
    SSL_set_verify(ssl_, rules.trusts_anyone ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                   rules.trusts_anyone ? nullptr : on_verify);
  } else {
    SSL_set_accept_state(ssl_);
    const int demands = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_set_verify(ssl_, rules.certificate_demanded ? demands : SSL_VERIFY_NONE, on_verify);
  }
}

void TlsChannel::expect_host(const std::string& host) {
  host_ = host;
  if (!is_address(host)) SSL_set_tlsext_host_name(ssl_, host.c_str());
  if (materials_->rules->trusts_anyone) return;
  if (is_address(host)) {
    CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str()) == 1, "an address");
  } else {
    SSL_set_hostflags(ssl_, kHostFlags);
    CHECK(SSL_set1_host(ssl_, host.c_str()) == 1, "out of memory");
  }
}

// ---- Who the other side is.

int TlsChannel::judge(X509* certificate, int depth) const {
  if (materials_->revoked.contains(serial_text(X509_get0_serialNumber(certificate)))) {
    return X509_V_ERR_CERT_REVOKED;
  }
  if (depth != 0) return X509_V_OK;
  const TlsOptions& rules = *materials_->rules;
  const bool named = rules.allowed_names.empty() ||
                     std::ranges::find(rules.allowed_names, common_name_of(certificate)) !=
                         rules.allowed_names.end();
  const bool hosted =
      rules.allowed_hosts.empty() ||
      std::ranges::any_of(rules.allowed_hosts, [certificate](const std::string& host) {
        return is_for_host(certificate, host);
      });
  return named && hosted ? X509_V_OK : X509_V_ERR_CERT_REJECTED;
}

std::string TlsChannel::objection(X509* certificate, int error) const {
  if (certificate == nullptr) return "it showed no certificate";
  const std::string which = "its certificate (common name \"" + common_name_of(certificate) +
                            "\", serial number " +
                            serial_text(X509_get0_serialNumber(certificate)) + ") ";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return which + "expired on " + time_text(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return which + "is not valid before " + time_text(X509_get0_notBefore(certificate));
    case X509_V_ERR_CERT_REVOKED:
      return which + "was revoked";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return which + "is not for " + host_;
    case X509_V_ERR_CERT_REJECTED:
      return which + "is none of those that are allowed here";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return which + "was issued by \"" + issuer_of(certificate) +
             "\", which is no authority that is trusted here";
    default:
      return which + "is not valid: " + X509_verify_cert_error_string(error);
  }
}

int TlsChannel::on_verify(int fine, X509_STORE_CTX* store) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& self = *static_cast<TlsChannel*>(SSL_get_ex_data(ssl, place_in_session()));
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (fine == 1) {
    const int error = self.judge(certificate, X509_STORE_CTX_get_error_depth(store));
    if (error == X509_V_OK) return 1;
    X509_STORE_CTX_set_error(store, error);
  }
  self.problem_ = self.objection(certificate, X509_STORE_CTX_get_error(store));
  return 0;
}

// ---- The life of a channel.

void TlsChannel::break_off() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const int reason = ERR_GET_REASON(code);
  const bool alert =
      ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= kAlertReasons && reason < kAlertReasonsEnd;
  // A certificate is judged before anything behind it is read, so such an alert says that nothing
  // was; with TLS 1.3 it comes when this side believes the handshake over.
  turned_away_ = !open_ || (alert && !heard_ && is_about_certificate(reason - kAlertReasons));
  if (!problem_.empty()) return;  // on_verify() knows better
  const auto* known = std::ranges::find(kReasons, reason, &KnownReason::reason);
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && known != std::end(kReasons)) {
    problem_ = known->text;
  } else {
    const char* words = ERR_reason_error_string(code);
    problem_ = std::string("TLS failed: ") + (words != nullptr ? words : "no reason given");
  }
}

bool TlsChannel::shake_hands() {
  if (open_) return true;
  ERR_clear_error();
  const int outcome = SSL_do_handshake(ssl_);
  if (outcome != 1) {
    if (SSL_get_error(ssl_, outcome) != SSL_ERROR_WANT_READ) break_off();
    return false;
  }
  open_ = true;
  if (materials_->rules->identifying && !dials_) {
    const X509* shown = SSL_get0_peer_certificate(ssl_);
    if (shown != nullptr && SSL_get_verify_result(ssl_) == X509_V_OK) {
      common_name_ = common_name_of(shown);
    }
  }
  return true;
}

size_t TlsChannel::read(std::span<uint8_t> plain, std::string& sealed) {
  if (!problem_.empty()) return 0;
  output_ = &sealed;
  size_t total = 0;
  if (shake_hands()) {
    while (total < plain.size()) {
      ERR_clear_error();
      size_t got = 0;
      const int outcome = SSL_read_ex(ssl_, plain.data() + total, plain.size() - total, &got);
      if (outcome == 1) {
        total += got;
        continue;
      }
      const int error = SSL_get_error(ssl_, outcome);
      if (error == SSL_ERROR_ZERO_RETURN) ended_ = true;
      if (error != SSL_ERROR_ZERO_RETURN && error != SSL_ERROR_WANT_READ) break_off();
      break;
    }
  }
  heard_ = heard_ || total > 0;
  output_ = nullptr;
  return total;
}

void TlsChannel::write(std::string_view plain, std::string& sealed) {
  CHECK(open_, "nothing is written before the other side is known");
  if (plain.empty() || !problem_.empty()) return;
  output_ = &sealed;
  ERR_clear_error();
  size_t written = 0;
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) != 1) break_off();
  output_ = nullptr;
}

void TlsChannel::finish(std::string& sealed) {
  if (!open()) return;
  output_ = &sealed;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
  output_ = nullptr;
}

}  // namespace

std::unique_ptr<SecureChannel> make_accepting_channel(std::shared_ptr<const Materials> materials) {
  return std::make_unique<TlsChannel>(std::move(materials), false);
}

std::unique_ptr<SecureChannel> make_dialling_channel(std::shared_ptr<const Materials> materials,
                                                     const std::string& host) {
  auto channel = std::make_unique<TlsChannel>(std::move(materials), true);
  channel->expect_host(host);
  return channel;
}

}  // namespace quorate::world
