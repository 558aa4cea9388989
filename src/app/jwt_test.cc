// Signed tokens: every algorithm, and everything that must not pass for one.
#include "app/jwt.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace quorate::app {
namespace {

class JwtTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("quorate-jwt-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }
  // Writes NAME.key and NAME.pub.
  void make_keys(const std::string& name, const std::string& method) const {
    EVP_PKEY* key = nullptr;
    if (method[0] == 'R' || method[0] == 'P') key = EVP_RSA_gen(2048);
    if (method == "ES256") key = EVP_EC_gen("P-256");
    if (method == "ES384") key = EVP_EC_gen("P-384");
    if (method == "ES512") key = EVP_EC_gen("P-521");
    if (method == "EdDSA") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    if (method[0] == 'H') {
      std::ofstream(path(name + ".key")) << "a secret of " << name;
      return;
    }
    ASSERT_NE(key, nullptr);
    FILE* secret = fopen(path(name + ".key").c_str(), "w");
    PEM_write_PrivateKey(secret, key, nullptr, nullptr, 0, nullptr, nullptr);
    fclose(secret);
    FILE* known = fopen(path(name + ".pub").c_str(), "w");
    PEM_write_PUBKEY(known, key);
    fclose(known);
    EVP_PKEY_free(key);
  }
  std::string specification(const std::string& name, const std::string& method) const {
    std::string text = "jwt,sign-method=" + method + ",priv-key=" + path(name + ".key");
    if (method[0] != 'H') text += ",pub-key=" + path(name + ".pub");
    return text;
  }
  static void expect_bad(const std::string& text, const std::string& part) {
    const auto made = make_jwt_signer(text);
    ASSERT_FALSE(made) << text;
    EXPECT_NE(made.error().text.find(part), std::string::npos) << made.error().text;
  }

  std::filesystem::path directory_;
};

TEST_F(JwtTest, what_one_signs_the_same_key_verifies_and_no_other) {
  for (const std::string method : {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256",
                                   "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}) {
    SCOPED_TRACE(method);
    make_keys("one", method);
    make_keys("two", method);
    const auto one = make_jwt_signer(specification("one", method) + ",ttl=90s");
    const auto two = make_jwt_signer(specification("two", method));
    ASSERT_TRUE(one) << one.error().text;
    ASSERT_TRUE(two) << two.error().text;
    const auto token = (*one)->sign("bob \"quoted\"", 7, 1000);
    ASSERT_TRUE(token);
    const auto claims = (*one)->verify(*token);
    ASSERT_TRUE(claims);
    EXPECT_EQ(claims->user, "bob \"quoted\"");
    EXPECT_EQ(claims->auth_revision, 7U);
    EXPECT_EQ(claims->expires, 1090);
    EXPECT_FALSE((*two)->verify(*token));
    for (size_t at = 0; at < token->size(); at += 7) {  // any change voids it
      std::string changed = *token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE((*one)->verify(changed) && changed != *token) << at;
    }
    for (size_t size = 0; size + 1 < token->size(); size += 5) {
      EXPECT_FALSE((*one)->verify(token->substr(0, size))) << size;
    }
  }
}

TEST_F(JwtTest, another_algorithm_than_the_configured_one_is_refused) {
  make_keys("pair", "RS256");
  const auto pair = make_jwt_signer(specification("pair", "RS256"));
  ASSERT_TRUE(pair);
  // The public key as the secret of the cheap algorithm: an old trick.
  std::filesystem::copy_file(path("pair.pub"), path("trick.key"));
  const auto trick = make_jwt_signer(specification("trick", "HS256"));
  ASSERT_TRUE(trick);
  EXPECT_FALSE((*pair)->verify(*(*trick)->sign("root", 7, 1000)));
  // {"alg":"none"} and {"username":"root","revision":7,"exp":9999999999}, without a signature.
  const std::string head = "eyJhbGciOiJub25lIn0";
  const std::string body = "eyJ1c2VybmFtZSI6InJvb3QiLCJyZXZpc2lvbiI6NywiZXhwIjo5OTk5OTk5OTk5fQ";
  for (const std::string& token : {head + "." + body + ".", head + "." + body, std::string("a.b.c"),
                                   std::string(".."), std::string(100000, '.')}) {
    EXPECT_FALSE((*pair)->verify(token)) << token.substr(0, 60);
  }
}

TEST_F(JwtTest, with_the_public_key_alone_nothing_can_be_signed) {
  make_keys("pair", "ES256");
  const auto both = make_jwt_signer(specification("pair", "ES256"));
  const auto known = make_jwt_signer("jwt,sign-method=ES256,pub-key=" + path("pair.pub"));
  const auto secret = make_jwt_signer("jwt,sign-method=ES256,priv-key=" + path("pair.key"));
  ASSERT_TRUE(both && known && secret);
  EXPECT_FALSE((*known)->sign("bob", 1, 1000));
  EXPECT_TRUE((*known)->verify(*(*both)->sign("bob", 1, 1000)));
  EXPECT_TRUE((*secret)->verify(*(*both)->sign("bob", 1, 1000)));
  EXPECT_FALSE((*both)->sign("no \xff UTF-8", 1, 1000));
}

TEST_F(JwtTest, what_is_wrong_is_said) {
  make_keys("pair", "ES256");
  const std::string keys = ",priv-key=" + path("pair.key");
  expect_bad("jwt" + keys, "sign-method must be one of");
  expect_bad("jwt,sign-method=none" + keys, "sign-method must be one of");
  expect_bad("jwt,sign-method=ES256", "needs priv-key or pub-key");
  expect_bad("jwt,sign-method=HS256", "the shared secret");
  expect_bad("jwt,sign-method=ES384" + keys, "holds no priv-key for sign-method ES384");
  expect_bad("jwt,sign-method=RS256" + keys, "holds no priv-key for sign-method RS256");
  expect_bad("jwt,sign-method=ES256,priv-key=/nowhere", "cannot read the key");
  expect_bad("jwt,sign-method=ES256,ttl=soon" + keys, "is not a duration");
  expect_bad("jwt,sign-method=ES256,ttl=1ms" + keys, "is not a duration");
  expect_bad("jwt,sign-method=ES256,colour=red" + keys, "is none of");
  expect_bad("jwt,sign-method=ES256,ttl" + keys, "is not name=value");
  expect_bad("jwt,sign-method=ES256" + keys + keys, "given twice");
}

}  // namespace
}  // namespace quorate::app
