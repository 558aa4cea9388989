// world/tls/text.h: parts of certificates as people read them.
#pragma once

#include <string>

// NOLINTBEGIN(readability-identifier-naming): the names are OpenSSL's
struct asn1_string_st;
struct x509_st;
// NOLINTEND(readability-identifier-naming)

namespace quorate::world {

std::string time_text(const asn1_string_st* time);
std::string serial_text(const asn1_string_st* serial);  // hexadecimal
std::string common_name_of(const x509_st* certificate);
std::string issuer_of(const x509_st* certificate);

}  // namespace quorate::world
