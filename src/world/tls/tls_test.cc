// Two channels with nothing between them but bytes: who is believed, and who hears why not.
#include "world/tls/tls.h"

#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <functional>

#include "base/log.h"
#include "world/tls/test_authority.h"

namespace quorate::world {
namespace {

std::string logged;

struct Pair {
  std::unique_ptr<SecureChannel> dialled;
  std::unique_ptr<SecureChannel> accepted;
  std::string heard_by_dialled;
  std::string heard_by_accepted;
  std::string to_accepted;
  std::string to_dialled;

  static void hand_over(std::string& bytes, size_t portion, SecureChannel& channel,
                        std::string& heard, std::string& answer) {
    std::string plain(16, '\0');  // small, so that what was opened comes in parts
    const std::span<uint8_t> target(reinterpret_cast<uint8_t*>(plain.data()), plain.size());
    while (!bytes.empty()) {
      const std::string now = bytes.substr(0, portion);
      bytes.erase(0, now.size());
      channel.feed(now);
      while (const size_t got = channel.read(target, answer)) heard += plain.substr(0, got);
    }
  }
  void exchange(size_t portion = 1 << 20) {
    dialled->read({}, to_accepted);
    while (!to_accepted.empty() || !to_dialled.empty()) {
      hand_over(to_accepted, portion, *accepted, heard_by_accepted, to_dialled);
      hand_over(to_dialled, portion, *dialled, heard_by_dialled, to_accepted);
    }
  }
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    logged.clear();
    set_log_sink([](LogLevel, std::string_view text) { logged += std::string(text) + "\n"; });
  }
  ~TlsTest() override { set_log_sink(nullptr); }

  TlsOptions server(const CertificateFiles& files) {
    TlsOptions options;
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
  }
  TlsOptions demanding(const CertificateFiles& files) {
    TlsOptions options = server(files);
    options.authorities_file = authority_.authority_file();
    options.certificate_demanded = options.identifying = true;
    return options;
  }
  TlsOptions client() {
    TlsOptions options;
    options.authorities_file = authority_.authority_file();
    return options;
  }
  TlsOptions client(const CertificateFiles& files) {
    TlsOptions options = client();
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
  }
  std::unique_ptr<Security> make(TlsOptions options) {
    auto made = make_tls(std::move(options));
    EXPECT_TRUE(made) << made.error().text;
    return std::move(*made);
  }
  Pair meet(Security& accepting, Security& dialling, const std::string& host = "localhost",
            size_t portion = 1 << 20) {
    Pair pair;
    pair.dialled = dialling.dial(host);
    pair.accepted = accepting.accept();
    pair.exchange(portion);
    return pair;
  }
  Pair meet(TlsOptions accepting, TlsOptions dialling, const std::string& host = "localhost") {
    kept_.push_back(make(std::move(accepting)));
    kept_.push_back(make(std::move(dialling)));
    return meet(*kept_[kept_.size() - 2], *kept_.back(), host);
  }
  static void expect_good(const Pair& pair) {
    EXPECT_TRUE(pair.dialled->open()) << pair.dialled->problem();
    EXPECT_TRUE(pair.accepted->open()) << pair.accepted->problem();
  }
  // The accepting side finds fault with the other; that one hears why.
  static void expect_turned_away(const Pair& pair, const std::string& why,
                                 const std::string& told) {
    EXPECT_FALSE(pair.accepted->open());
    EXPECT_NE(pair.accepted->problem().find(why), std::string::npos) << pair.accepted->problem();
    EXPECT_FALSE(pair.dialled->open());
    EXPECT_NE(pair.dialled->problem().find(told), std::string::npos) << pair.dialled->problem();
    EXPECT_TRUE(pair.dialled->turned_away());
    EXPECT_TRUE(pair.heard_by_accepted.empty());
  }

  TestAuthority authority_{"test authority"};
  TestAuthority stranger_{"somebody else"};
  std::vector<std::unique_ptr<Security>> kept_;
};

TEST_F(TlsTest, carries_bytes_both_ways_however_they_are_cut) {
  for (const size_t portion : {size_t{1}, size_t{7}, size_t{1} << 20U}) {
    const auto accepting = make(server(authority_.make("n1")));
    const auto dialling = make(client());
    Pair pair = meet(*accepting, *dialling, "127.0.0.1", portion);
    expect_good(pair);
    EXPECT_EQ(pair.accepted->common_name(), "");
    const std::string question(100'000, 'q');
    const std::string answer(70'000, 'a');
    pair.dialled->write(question, pair.to_accepted);
    pair.accepted->write(answer, pair.to_dialled);
    EXPECT_EQ(pair.to_accepted.find("qqqqqqqqqqqqqqqq"), std::string::npos);
    pair.exchange(portion);
    EXPECT_EQ(pair.heard_by_accepted, question);
    EXPECT_EQ(pair.heard_by_dialled, answer);
    EXPECT_FALSE(pair.dialled->ended());
    pair.accepted->finish(pair.to_dialled);
    pair.exchange(portion);
    EXPECT_TRUE(pair.dialled->ended());
    EXPECT_EQ(pair.dialled->problem(), "");
  }
}

TEST_F(TlsTest, a_demanded_certificate_names_the_client) {
  const Pair pair = meet(demanding(authority_.make("n1")), client(authority_.make("alice")));
  expect_good(pair);
  EXPECT_EQ(pair.accepted->common_name(), "alice");
  TlsOptions nameless = demanding(authority_.make("n1"));
  nameless.identifying = false;
  const Pair other = meet(nameless, client(authority_.make("alice")));
  expect_good(other);
  EXPECT_EQ(other.accepted->common_name(), "");
}

TEST_F(TlsTest, who_shows_no_certificate_or_a_bad_one_is_turned_away) {
  const CertificateFiles own = authority_.make("n1");
  expect_turned_away(meet(demanding(own), client()), "showed no certificate", "shown none");
  TlsOptions foreign = client(stranger_.make("mallory"));
  expect_turned_away(meet(demanding(own), foreign), "no authority that is trusted here",
                     "does not know the authority");
  expect_turned_away(meet(demanding(own), client(authority_.make("old", 0, -7200))),
                     "(common name \"old\"", "our certificate has expired");
  expect_turned_away(meet(demanding(own), client(authority_.make("old", 0, -7200))), "expired on ",
                     "our certificate has expired");
  expect_turned_away(meet(demanding(own), client(authority_.make("early", 0, 1800))),
                     "is not valid before", "");
}

TEST_F(TlsTest, older_tls_is_turned_away_for_the_same_reasons) {
  TlsOptions options = demanding(authority_.make("n1"));
  options.version_max = "TLS1.2";
  expect_good(meet(options, client(authority_.make("alice"))));
  const Pair none = meet(options, client());
  EXPECT_FALSE(none.accepted->open());
  EXPECT_FALSE(none.dialled->open());
  EXPECT_TRUE(none.dialled->turned_away());
  expect_turned_away(meet(options, client(authority_.make("old", 0, -7200))), "expired on ",
                     "our certificate has expired");
}

TEST_F(TlsTest, revoked_serial_numbers_are_turned_away) {
  for (const bool pem : {true, false}) {
    TlsOptions options = demanding(authority_.make("n1"));
    options.revoked_file = authority_.revoke({77, 78}, pem);
    expect_good(meet(options, client(authority_.make("alice", 79))));
    expect_turned_away(meet(options, client(authority_.make("bob", 77))), "was revoked",
                       "was revoked");
  }
}

TEST_F(TlsTest, allowed_names_and_hosts) {
  TlsOptions named = demanding(authority_.make("n1"));
  named.allowed_names = {"peer", "other peer"};
  expect_good(meet(named, client(authority_.make("peer"))));
  expect_turned_away(meet(named, client(authority_.make("alice"))),
                     "none of those that are allowed", "");
  TlsOptions hosted = demanding(authority_.make("n1"));
  hosted.allowed_hosts = {"n1.db.example"};
  const std::vector<std::string> hosts = {"*.db.example"};
  expect_good(meet(hosted, client(authority_.make("", 0, -60, hosts))));
  expect_turned_away(meet(hosted, client(authority_.make("n1.db.example"))),
                     "none of those that are allowed", "");
}

TEST_F(TlsTest, the_server_is_checked_as_well) {
  const auto expect_refused = [](const Pair& pair, const std::string& why) {
    EXPECT_FALSE(pair.dialled->open());
    EXPECT_NE(pair.dialled->problem().find(why), std::string::npos) << pair.dialled->problem();
    EXPECT_TRUE(pair.dialled->turned_away());
    EXPECT_FALSE(pair.accepted->open());
    EXPECT_NE(pair.accepted->problem(), "");
  };
  expect_refused(meet(server(stranger_.make("n1")), client()), "no authority that is trusted");
  expect_refused(meet(server(authority_.make("n1")), client(), "10.1.2.3"), "not for 10.1.2.3");
  expect_refused(meet(server(authority_.make("n1")), client(), "db.example"), "not for db.example");
  expect_refused(meet(server(authority_.make("n1", 0, -7200)), client()), "expired on ");
  EXPECT_NE(logged.find("expired on "), std::string::npos) << logged;
  TlsOptions trusting;
  trusting.trusts_anyone = true;
  expect_good(meet(server(stranger_.make("n1", 0, -7200)), trusting, "db.example"));
}

TEST_F(TlsTest, garbage_ends_a_handshake_and_keeps_nothing) {
  const auto accepting = make(server(authority_.make("n1")));
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100'000, 'x'), std::string(5, '\x16'),
        std::string("\x16\x03\x01\xff\xff") + std::string(70'000, '\x01'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
    const auto channel = accepting->accept();
    std::string answer;
    channel->feed(garbage);
    uint8_t space[64];
    EXPECT_EQ(channel->read(space, answer), 0U);
    EXPECT_NE(channel->problem(), "") << garbage.substr(0, 5);
    EXPECT_LT(answer.size(), 64U);
  }
  Pair pair = meet(server(authority_.make("n1")), client());
  expect_good(pair);
  pair.dialled->write("hello", pair.to_accepted);
  pair.to_accepted.back() = static_cast<char>(pair.to_accepted.back() ^ 1);
  pair.exchange();
  EXPECT_FALSE(pair.accepted->open());
  EXPECT_EQ(pair.heard_by_accepted, "");
}

TEST_F(TlsTest, new_files_are_read_and_bad_ones_are_not_believed) {
  const CertificateFiles own = authority_.make("first");
  const CertificateFiles guest = authority_.make("guest");
  TlsOptions seeing = demanding(own);
  const auto accepting = make(seeing);
  TlsOptions looking = client(guest);
  looking.allowed_names = {"first"};
  const auto expecting_first = make(looking);
  looking.allowed_names = {"second"};
  const auto expecting_second = make(looking);
  expect_good(meet(*accepting, *expecting_first));
  authority_.replace(own, "second");
  expect_good(meet(*accepting, *expecting_second));
  EXPECT_NE(logged.find("read the TLS files for clients again"), std::string::npos) << logged;

  logged.clear();
  TestAuthority::write(own.certificate, "no certificate");
  expect_good(meet(*accepting, *expecting_second));
  expect_good(meet(*accepting, *expecting_second));
  const size_t complaint = logged.find("are of no use");
  EXPECT_NE(complaint, std::string::npos) << logged;
  EXPECT_EQ(logged.find("are of no use", complaint + 1), std::string::npos) << logged;
  authority_.replace(own, "first");
  expect_good(meet(*accepting, *expecting_first));
  std::filesystem::remove(own.key);
  expect_good(meet(*accepting, *expecting_first));
}

TEST_F(TlsTest, settings_that_cannot_be_met_are_refused) {
  const CertificateFiles own = authority_.make("n1");
  const CertificateFiles other = authority_.make("n2");
  const auto expect_refused = [](const TlsOptions& options, const std::string& why) {
    const auto made = make_tls(options);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().text.find(why), std::string::npos) << made.error().text;
  };
  const auto with = [&](const std::function<void(TlsOptions&)>& change) {
    TlsOptions options = server(own);
    change(options);
    return options;
  };
  expect_refused(with([&](auto& it) { it.key_file = other.key; }), other.key);
  expect_refused(with([](auto& it) { it.key_file = ""; }), "go together");
  expect_refused(with([](auto& it) { it.certificate_file = "/nowhere.pem"; }), "/nowhere.pem");
  expect_refused(with([&](auto& it) { it.authorities_file = own.key; }), own.key);
  expect_refused(with([&](auto& it) { it.revoked_file = own.key; }), own.key);
  expect_refused(with([](auto& it) { it.version_min = "TLS1.1"; }), "TLS1.1");
  expect_refused(with([](auto& it) {
                   it.version_min = "TLS1.3";
                   it.version_max = "TLS1.2";
                 }),
                 "above the greatest");
  expect_refused(with([](auto& it) { it.cipher_suites = {"TLS_FAST"}; }), "TLS_FAST");
}

TEST_F(TlsTest, versions_and_suites_are_kept_to) {
  TlsOptions older = client();
  older.version_max = "TLS1.2";
  TlsOptions newer = server(authority_.make("n1"));
  newer.version_min = "TLS1.3";
  const Pair apart = meet(newer, older);
  EXPECT_NE(apart.accepted->problem().find("no version of TLS"), std::string::npos);
  EXPECT_NE(apart.dialled->problem().find("no version of TLS"), std::string::npos);
  TlsOptions chacha = server(authority_.make("n1"));
  chacha.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"};
  expect_good(meet(chacha, older));
  older.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  const Pair differing = meet(chacha, older);
  EXPECT_NE(differing.accepted->problem().find("no cipher suite"), std::string::npos)
      << differing.accepted->problem();
}

TEST_F(TlsTest, an_own_certificate_is_made_once_and_made_anew_when_it_is_over) {
  const std::string directory = authority_.file("own/client");
  const auto made = own_certificate(directory, {"localhost", "127.0.0.1", "::1"}, 1);
  ASSERT_TRUE(made) << made.error().text;
  const auto written = std::filesystem::last_write_time(made->certificate);
  EXPECT_EQ(std::filesystem::status(made->key).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  ASSERT_TRUE(own_certificate(directory, {"localhost"}, 1));
  EXPECT_EQ(std::filesystem::last_write_time(made->certificate), written);
  TlsOptions trusting;
  trusting.authorities_file = made->certificate;
  expect_good(meet(server(*made), trusting, "::1"));
  const CertificateFiles expired = authority_.make("old", 0, -7200);
  std::filesystem::rename(expired.certificate, made->certificate);
  std::filesystem::rename(expired.key, made->key);
  ASSERT_TRUE(own_certificate(directory, {"localhost"}, 1));
  expect_good(meet(server(*made), trusting));
}

}  // namespace
}  // namespace quorate::world
