// Until when certificates are valid.
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "app/doctor/facts.h"

namespace quorate::app::doctor {
namespace {

constexpr size_t kCertificatesMax = 100;  // of one file: a bundle of authorities has more, unasked

int64_t seconds_until(const ASN1_TIME* when) {
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, when) != 1) return 0;  // null: now
  return int64_t{days} * 86400 + seconds;
}

}  // namespace

std::vector<CertificateFacts> read_certificates(const std::string& file) {
  std::vector<CertificateFacts> found;
  const std::unique_ptr<BIO, decltype(&BIO_free)> input(BIO_new_file(file.c_str(), "r"), BIO_free);
  while (input && found.size() < kCertificatesMax) {
    const std::unique_ptr<X509, decltype(&X509_free)> each(
        PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr), X509_free);
    if (!each) break;
    CertificateFacts facts;
    facts.file = file;
    char name[256] = {};
    X509_NAME_oneline(X509_get_subject_name(each.get()), name, sizeof(name));
    facts.subject = name;
    facts.seconds_left = seconds_until(X509_get0_notAfter(each.get()));
    facts.seconds_to_begin = seconds_until(X509_get0_notBefore(each.get()));
    found.push_back(std::move(facts));
  }
  if (found.empty()) {
    found.push_back(
        {file, input ? "holds no certificate in PEM form" : "cannot be read", {}, 0, 0});
  }
  return found;
}

}  // namespace quorate::app::doctor
