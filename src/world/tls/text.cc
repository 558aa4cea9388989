#include "world/tls/text.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/x509.h>

#include <memory>

#include "base/freed.h"

namespace quorate::world {
namespace {

using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

std::string content(const Memory& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

}  // namespace

std::string time_text(const asn1_string_st* time) {
  const Memory memory(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(memory.get(), time);
  return content(memory);
}

std::string serial_text(const asn1_string_st* serial) {
  BIGNUM* number = ASN1_INTEGER_to_BN(serial, nullptr);
  char* digits = BN_bn2hex(number);
  std::string text = digits != nullptr ? digits : "?";
  OPENSSL_free(digits);
  BN_free(number);
  return text;
}

std::string common_name_of(const x509_st* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<size_t>(size));
  OPENSSL_free(text);
  return name;
}

std::string issuer_of(const x509_st* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(memory.get(), X509_get_issuer_name(certificate), 0,
                     XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ & ~ASN1_STRFLGS_ESC_MSB);
  return content(memory);
}

}  // namespace quorate::world
