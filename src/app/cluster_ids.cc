#include "app/cluster_ids.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"

namespace quorate::app {
namespace {

uint64_t first_eight_bytes_of_sha1(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) == 1 && size >= 8,
        "SHA-1 is part of every OpenSSL; without it members cannot agree on their ids");
  uint64_t value = 0;
  for (int at = 0; at < 8; ++at) value = (value << 8U) | digest[at];
  return value;
}

}  // namespace

uint64_t founding_member_id(std::vector<std::string> peer_urls, std::string_view token) {
  std::ranges::sort(peer_urls);
  std::string text;
  for (const std::string& url : peer_urls) text += url;
  return first_eight_bytes_of_sha1(text.append(token));
}

uint64_t added_member_id(std::vector<std::string> peer_urls, int64_t unix_nanoseconds) {
  return founding_member_id(std::move(peer_urls), std::to_string(unix_nanoseconds));
}

uint64_t founding_cluster_id(std::vector<uint64_t> member_ids) {
  std::ranges::sort(member_ids);
  std::string text;
  for (const uint64_t id : member_ids) {
    for (unsigned shift = 64; shift > 0; shift -= 8) {
      text.push_back(static_cast<char>((id >> (shift - 8)) & 255U));
    }
  }
  return first_eight_bytes_of_sha1(text);
}

}  // namespace quorate::app
