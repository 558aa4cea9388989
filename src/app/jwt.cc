#include "app/jwt.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "app/durations.h"
#include "base/base64.h"
#include "base/freed.h"

namespace quorate::app {
namespace {

using front::etcd::TokenClaims;
using front::etcd::TokenSigner;
using Json = nlohmann::json;

// Far more than a token of ours, so that nobody makes us decode for long.
constexpr size_t kTokenBytesMax = 16384;

enum class Family : uint8_t { hmac, rsa, rsa_pss, ecdsa, ed25519 };
struct Method {
  std::string_view name;
  Family family;
  const EVP_MD* (*digest)();  // null: the algorithm has its own
  size_t half_bytes = 0;      // ecdsa: of each of the two numbers
};
constexpr Method kMethods[] = {
    {"HS256", Family::hmac, EVP_sha256},      {"HS384", Family::hmac, EVP_sha384},
    {"HS512", Family::hmac, EVP_sha512},      {"RS256", Family::rsa, EVP_sha256},
    {"RS384", Family::rsa, EVP_sha384},       {"RS512", Family::rsa, EVP_sha512},
    {"PS256", Family::rsa_pss, EVP_sha256},   {"PS384", Family::rsa_pss, EVP_sha384},
    {"PS512", Family::rsa_pss, EVP_sha512},   {"ES256", Family::ecdsa, EVP_sha256, 32},
    {"ES384", Family::ecdsa, EVP_sha384, 48}, {"ES512", Family::ecdsa, EVP_sha512, 66},
    {"EdDSA", Family::ed25519, nullptr},
};

using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

// As RFC 7515 (section 2) has it: two other marks, and no padding.
std::string base64url(std::string_view bytes) {
  std::string text;
  append_base64(bytes, text);
  text.resize(text.find_last_not_of('=') + 1);
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string bytes;
  if (text.find_first_of("+/=") != std::string_view::npos) return std::nullopt;
  if (!decode_base64(text, bytes)) return std::nullopt;
  return bytes;
}

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// JSON web signatures hold the two numbers side by side, OpenSSL has them in DER.
std::optional<std::string> halves_of(std::string_view der, size_t half) {
  const unsigned char* at = raw(der);
  const Signature parsed(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (parsed == nullptr) return std::nullopt;
  std::string out(2 * half, '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(out.data());
  const int size = static_cast<int>(half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), bytes, size) != size ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), bytes + half, size) != size) {
    return std::nullopt;
  }
  return out;
}

std::optional<std::string> der_of(std::string_view halves, size_t half) {
  if (halves.size() != 2 * half) return std::nullopt;
  const int size = static_cast<int>(half);
  const Signature made(ECDSA_SIG_new());
  BIGNUM* first = BN_bin2bn(raw(halves), size, nullptr);
  BIGNUM* second = BN_bin2bn(raw(halves.substr(half)), size, nullptr);
  if (ECDSA_SIG_set0(made.get(), first, second) != 1) {
    BN_free(first);
    BN_free(second);
    return std::nullopt;
  }
  unsigned char* bytes = nullptr;
  const int written = i2d_ECDSA_SIG(made.get(), &bytes);
  if (written <= 0) return std::nullopt;
  std::string out(reinterpret_cast<const char*>(bytes), static_cast<size_t>(written));
  OPENSSL_free(bytes);
  return out;
}

bool pad(const Method& method, EVP_PKEY_CTX* context) {
  if (method.family != Family::rsa_pss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

class JwtSigner final : public TokenSigner {
 public:
  JwtSigner(const Method& method, int64_t life_seconds, Key secret, Key known, std::string shared)
      : method_(method),
        life_seconds_(life_seconds),
        private_key_(std::move(secret)),
        public_key_(std::move(known)),
        shared_(std::move(shared)) {}

  std::optional<std::string> sign(std::string_view user, uint64_t auth_revision,
                                  int64_t now_seconds) override {
    const Json head = {{"alg", method_.name}, {"typ", "JWT"}};
    const Json claims = {
        {"username", user}, {"revision", auth_revision}, {"exp", now_seconds + life_seconds_}};
    const std::string written = claims.dump(-1, ' ', false, Json::error_handler_t::ignore);
    // A name that is no UTF-8 cannot be in JSON: such a user has no such token.
    if (Json::parse(written).value("username", std::string()) != user) return std::nullopt;
    const std::string text = base64url(head.dump()) + "." + base64url(written);
    const auto signature = make_signature(text);
    if (!signature) return std::nullopt;
    return text + "." + base64url(*signature);
  }

  std::optional<TokenClaims> verify(std::string_view token) override {
    const size_t first = token.find('.');
    const size_t second = token.find('.', first + 1);
    if (token.size() > kTokenBytesMax || second == std::string_view::npos) return std::nullopt;
    const auto head = parse(token.substr(0, first));
    const auto signature = from_base64url(token.substr(second + 1));
    if (!head || !signature || head->value("alg", Json()) != method_.name) return std::nullopt;
    if (!is_signed(token.substr(0, second), *signature)) return std::nullopt;
    const auto claims = parse(token.substr(first + 1, second - first - 1));
    if (!claims) return std::nullopt;
    const Json user = claims->value("username", Json());
    const Json revision = claims->value("revision", Json());
    const Json expires = claims->value("exp", Json());
    const bool whole = revision.is_number_unsigned() && expires.is_number_integer();
    if (!user.is_string() || !whole) return std::nullopt;
    return TokenClaims{user.get<std::string>(), revision.get<uint64_t>(), expires.get<int64_t>()};
  }

 private:
  static std::optional<Json> parse(std::string_view part) {
    const auto text = from_base64url(part);
    if (!text) return std::nullopt;
    Json parsed = Json::parse(*text, nullptr, false);  // no exceptions: discarded instead
    if (!parsed.is_object()) return std::nullopt;
    return parsed;
  }

  std::optional<std::string> code_of(std::string_view text) const {
    unsigned char code[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (HMAC(method_.digest(), shared_.data(), static_cast<int>(shared_.size()), raw(text),
             text.size(), code, &size) == nullptr) {
      return std::nullopt;
    }
    return std::string(reinterpret_cast<const char*>(code), size);
  }

  std::optional<std::string> make_signature(std::string_view text) const {
    if (method_.family == Family::hmac) return code_of(text);
    if (private_key_ == nullptr) return std::nullopt;
    const Digest digest(EVP_MD_CTX_new());
    EVP_PKEY_CTX* context = nullptr;
    const EVP_MD* hash = method_.digest == nullptr ? nullptr : method_.digest();
    size_t size = 0;
    if (EVP_DigestSignInit(digest.get(), &context, hash, nullptr, private_key_.get()) != 1 ||
        !pad(method_, context) ||
        EVP_DigestSign(digest.get(), nullptr, &size, raw(text), text.size()) != 1) {
      return std::nullopt;
    }
    std::string made(size, '\0');
    if (EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(made.data()), &size,
                       raw(text), text.size()) != 1) {
      return std::nullopt;
    }
    made.resize(size);
    return method_.family == Family::ecdsa ? halves_of(made, method_.half_bytes) : made;
  }

  bool is_signed(std::string_view text, const std::string& signature) const {
    if (method_.family == Family::hmac) {
      const auto code = code_of(text);
      return code && code->size() == signature.size() &&
             CRYPTO_memcmp(code->data(), signature.data(), code->size()) == 0;
    }
    const auto checked = method_.family == Family::ecdsa ? der_of(signature, method_.half_bytes)
                                                         : std::optional(signature);
    if (!checked) return false;
    const Digest digest(EVP_MD_CTX_new());
    EVP_PKEY_CTX* context = nullptr;
    const EVP_MD* hash = method_.digest == nullptr ? nullptr : method_.digest();
    return EVP_DigestVerifyInit(digest.get(), &context, hash, nullptr, public_key_.get()) == 1 &&
           pad(method_, context) &&
           EVP_DigestVerify(digest.get(), raw(*checked), checked->size(), raw(text), text.size()) ==
               1;
  }

  const Method& method_;
  const int64_t life_seconds_;
  const Key private_key_;  // null: tokens are only verified
  const Key public_key_;
  const std::string shared_;  // hmac
};

std::unexpected<Error> bad(const std::string& why) {
  return fail(ErrorKind::invalid, "--auth-token: " + why);
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) return bad("cannot read the key \"" + path + "\"");
  return text.str();
}

// The private key of a pair holds the public one too.
Key parse_key(const std::string& pem, bool secret) {
  const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Key(secret ? PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, nullptr)
                    : PEM_read_bio_PUBKEY(memory.get(), nullptr, nullptr, nullptr));
}

bool fits(const Method& method, const EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  switch (method.family) {
    case Family::rsa:
    case Family::rsa_pss:
      return kind == EVP_PKEY_RSA;
    case Family::ecdsa:
      return kind == EVP_PKEY_EC &&
             (static_cast<size_t>(EVP_PKEY_get_bits(key)) + 7) / 8 == method.half_bytes;
    case Family::ed25519:
      return kind == EVP_PKEY_ED25519;
    case Family::hmac:
      break;
  }
  return false;
}

using Options = std::map<std::string, std::string>;

Result<Options> split_options(const std::string& specification) {
  Options options;
  std::stringstream parts(specification);
  std::string part;
  std::getline(parts, part, ',');  // "jwt"
  while (std::getline(parts, part, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return bad("\"" + part + "\" is not name=value");
    const std::string name = part.substr(0, equals);
    if (name != "pub-key" && name != "priv-key" && name != "sign-method" && name != "ttl") {
      return bad("\"" + name + "\" is none of pub-key, priv-key, sign-method, ttl");
    }
    if (!options.emplace(name, part.substr(equals + 1)).second) {
      return bad("\"" + name + "\" is given twice");
    }
  }
  return options;
}

Result<Key> load_key(const Options& options, const std::string& name, const Method& method) {
  const auto at = options.find(name);
  if (at == options.end()) return Key();
  const auto pem = read_file(at->second);
  if (!pem) return std::unexpected(pem.error());
  Key key = parse_key(*pem, name == "priv-key");
  if (key == nullptr || !fits(method, key.get())) {
    return bad("\"" + at->second + "\" holds no " + name + " for sign-method " +
               std::string(method.name) + "; it must be PEM");
  }
  return key;
}

}  // namespace

Result<std::shared_ptr<TokenSigner>> make_jwt_signer(const std::string& specification) {
  const auto options = split_options(specification);
  if (!options) return std::unexpected(options.error());
  const auto named = options->find("sign-method");
  const Method* method = nullptr;
  for (const Method& each : kMethods) {
    if (named != options->end() && each.name == named->second) method = &each;
  }
  if (method == nullptr) {
    return bad("sign-method must be one of RS, PS, ES or HS with 256, 384 or 512, or EdDSA");
  }
  Duration life = std::chrono::minutes(5);
  if (const auto ttl = options->find("ttl"); ttl != options->end()) {
    const auto parsed = parse_duration(ttl->second);
    if (!parsed || *parsed < std::chrono::seconds(1)) {
      return bad("ttl \"" + ttl->second + "\" is not a duration of a second or more, like 10m");
    }
    life = *parsed;
  }
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(life).count();
  if (method->family == Family::hmac) {
    const auto file = options->find("priv-key");
    if (file == options->end()) return bad("sign-method HS needs priv-key, the shared secret");
    auto secret = read_file(file->second);
    if (!secret) return std::unexpected(secret.error());
    return std::make_shared<JwtSigner>(*method, seconds, Key(), Key(), std::move(*secret));
  }
  auto secret = load_key(*options, "priv-key", *method);
  if (!secret) return std::unexpected(secret.error());
  auto known = load_key(*options, "pub-key", *method);
  if (!known) return std::unexpected(known.error());
  if (*secret == nullptr && *known == nullptr) return bad("jwt needs priv-key or pub-key");
  if (*known == nullptr) {
    EVP_PKEY_up_ref(secret->get());
    known->reset(secret->get());
  }
  return std::make_shared<JwtSigner>(*method, seconds, std::move(*secret), std::move(*known),
                                     std::string());
}

}  // namespace quorate::app
