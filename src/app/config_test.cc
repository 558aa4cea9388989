#include "app/config.h"

#include <gtest/gtest.h>

#include "app/cluster_ids.h"
#include "app/settings.h"

namespace quorate::app {
namespace {

Settings three_members() {
  return {{"name", "n1"},
          {"listen-peer-urls", "http://127.0.0.1:2380"},
          {"initial-advertise-peer-urls", "http://127.0.0.1:2380"},
          {"initial-cluster",
           "n1=http://127.0.0.1:2380,n2=http://127.0.0.1:22380,n3=http://127.0.0.1:32380"}};
}

std::string problem(const Settings& settings) {
  const auto config = make_config(settings, "quorate");
  return config ? "accepted" : config.error().text;
}

TEST(Config, WithoutSettingsIsOneDurableMember) {
  const auto config = make_config({}, "quorate");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->data_directory, "default.quorate");
  EXPECT_EQ(config->listen_client[0].address(), "localhost:2379");
  ASSERT_EQ(config->cluster.size(), 1u);
  EXPECT_EQ(config->cluster[0].peer_urls[0].text, "http://localhost:2380");
  EXPECT_EQ(make_config({}, "etcd")->data_directory, "default.etcd");
}

TEST(Config, ThreeMembersAreFound) {
  const auto config = make_config(three_members(), "quorate");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->cluster.size(), 3u);
  EXPECT_EQ(config->cluster[2].peer_urls[0].port, 32380);
}

TEST(Config, EachMistakeIsNamedInASentence) {
  const std::pair<Settings, std::string> mistakes[] = {
      {{{"name", "other"}}, "accepted"},
      {{{"listen-client-urls", "http://127.0.0.1:1"}}, "--advertise-client-urls is required"},
      {{{"listen-peer-urls", "127.0.0.1:2380"}}, "has no scheme"},
      {{{"listen-peer-urls", "http://example.com:2380"}}, "expected an IP address"},
      {{{"listen-peer-urls", "http://127.0.0.1:99999"}}, "has no valid host:port"},
      {{{"listen-peer-urls", "https://127.0.0.1:2380"}}, "--peer-cert-file"},
      {{{"listen-client-urls", "https://127.0.0.1:2379"},
        {"advertise-client-urls", "https://127.0.0.1:2379"}},
       "needs --cert-file and --key-file, or --auto-tls"},
      {{{"cert-file", "a.pem"}}, "go together"},
      {{{"client-crl-file", "a.crl"}}, "--client-cert-auth"},
      {{{"peer-cert-allowed-cn", "a"}}, "--peer-client-cert-auth"},
      {{{"peer-trusted-ca-file", "ca"},
        {"peer-cert-allowed-cn", "a"},
        {"peer-cert-allowed-hostname", "b"}},
       "exclude each other"},
      {{{"election-timeout", "499"}}, "at least 5 times"},
      {{{"heartbeat-interval", "soon"}}, "is not a whole number"},
      {{{"initial-cluster-state", "old"}}, "neither new nor existing"},
      {{{"initial-cluster", "n1=http://127.0.0.1:2380"}}, "does not contain this member"},
      {{{"initial-cluster", "http://127.0.0.1:2380"}}, "is not name=URL"},
      {{{"initial-cluster", "default=http://127.0.0.1:2381"}}, "both must name the same"},
      {{{"log-level", "loud"}}, "is none of"},
      {{{"consensus", "paper"}}, "not a protocol of this version"},
      {{{"watch-progress-notify-interval", "10x"}}, "is no duration"},
      {{{"watch-progress-notify-interval", "s"}}, "is no duration"},
      {{{"watch-progress-notify-interval", "5s3"}}, "is no duration"},
      {{{"watch-progress-notify-interval", "99999999h"}}, "is no duration"},
      {{{"auto-compaction-mode", "sometimes"}}, "neither periodic nor revision"},
      {{{"auto-compaction-retention", "-1"}}, "is no duration"},
      {{{"auto-compaction-mode", "revision"}, {"auto-compaction-retention", "5m"}},
       "is not a whole number"},
      {{{"pre-vote", "perhaps"}}, "neither true nor false"}};
  for (const auto& [settings, expected] : mistakes) {
    EXPECT_NE(problem(settings).find(expected), std::string::npos) << problem(settings);
  }
  Settings twice = three_members();
  twice["initial-cluster"] += ",n4=http://127.0.0.1:22380";
  EXPECT_NE(problem(twice).find("twice"), std::string::npos) << problem(twice);
}

TEST(Config, RetentionIsHoursOrATimeOrRevisions) {
  const auto rule = [](const std::string& mode, const std::string& retention) {
    return make_config({{"auto-compaction-mode", mode}, {"auto-compaction-retention", retention}},
                       "quorate")
        ->compaction;
  };
  using front::etcd::CompactionMode;
  EXPECT_EQ(make_config({}, "quorate")->compaction.mode, CompactionMode::never);
  EXPECT_EQ(make_config({{"auto-compaction-retention", "8"}}, "quorate")->compaction.mode,
            CompactionMode::periodic);
  EXPECT_EQ(rule("periodic", "8").period, std::chrono::hours(8));
  EXPECT_EQ(rule("periodic", "90m").period, std::chrono::minutes(90));
  EXPECT_EQ(rule("periodic", "0s").mode, CompactionMode::never);
  EXPECT_EQ(rule("revision", "1000").mode, CompactionMode::revisions);
  EXPECT_EQ(rule("revision", "1000").revisions, 1000);
  EXPECT_EQ(rule("revision", "0").mode, CompactionMode::never);
}

TEST(Config, QuotaFollowsEtcd) {
  EXPECT_EQ(make_config({}, "quorate")->quota_bytes, uint64_t{2} << 30U);
  EXPECT_EQ(make_config({{"quota-backend-bytes", "0"}}, "quorate")->quota_bytes,
            uint64_t{2} << 30U);
  EXPECT_EQ(make_config({{"quota-backend-bytes", "-1"}}, "quorate")->quota_bytes, 0u);
  EXPECT_EQ(make_config({{"quota-backend-bytes", "53248"}}, "quorate")->quota_bytes, 53248u);
}

TEST(Config, OriginsAndNamesAreLists) {
  using List = std::vector<std::string>;
  EXPECT_EQ(make_config({}, "quorate")->cors, List{"*"});
  EXPECT_EQ(make_config({{"host-whitelist", ""}}, "quorate")->host_whitelist, List{"*"});
  EXPECT_EQ(make_config({{"cors", "http://a:1,http://b:2"}}, "quorate")->cors,
            (List{"http://a:1", "http://b:2"}));
  EXPECT_EQ(make_config({{"host-whitelist", "a,10.0.0.1"}}, "quorate")->host_whitelist,
            (List{"a", "10.0.0.1"}));
}

TEST(Config, DurationsAreWrittenAsGoDoes) {
  const auto interval = [](const std::string& text) {
    return make_config({{"watch-progress-notify-interval", text}}, "quorate")
        ->watch_progress_interval;
  };
  EXPECT_EQ(make_config({}, "quorate")->watch_progress_interval, std::chrono::minutes(10));
  EXPECT_EQ(interval("5s"), std::chrono::seconds(5));
  EXPECT_EQ(interval("1h30m0s"), std::chrono::minutes(90));
  EXPECT_EQ(interval("250ms"), std::chrono::milliseconds(250));
  EXPECT_EQ(interval("5000000000"), std::chrono::seconds(5));  // nanoseconds, as in etcd's files
  // The name it had before etcd 3.6.
  const auto gathered = gather_settings({"--experimental-watch-progress-notify-interval=7s"}, {});
  ASSERT_TRUE(gathered) << gathered.error().text;
  EXPECT_EQ(gathered->settings.at("watch-progress-notify-interval"), "7s");
  EXPECT_TRUE(gathered->warnings.empty());
}

TEST(Settings, FlagsBeatVariablesAndBothSpellingsWork) {
  const auto gathered = gather_settings({"-name", "a", "--heartbeat-interval=50", "--pre-vote"},
                                        {"ETCD_NAME=b", "ETCD_DATA_DIR=/d", "ETCD_UNHEARD=1"});
  ASSERT_TRUE(gathered) << gathered.error().text;
  EXPECT_EQ(gathered->settings.at("name"), "a");
  EXPECT_EQ(gathered->settings.at("data-dir"), "/d");
  EXPECT_EQ(gathered->settings.at("heartbeat-interval"), "50");
  EXPECT_EQ(gathered->settings.at("pre-vote"), "true");
  ASSERT_EQ(gathered->warnings.size(), 1u);
  EXPECT_NE(gathered->warnings[0].find("ETCD_UNHEARD"), std::string::npos);
}

TEST(Settings, UnknownAndUnkeptPromisesAreErrors) {
  EXPECT_NE(gather_settings({"--nmae", "x"}, {}).error().text.find("--nmae"), std::string::npos);
  EXPECT_NE(gather_settings({"--discovery=http://x"}, {}).error().text.find("does not do yet"),
            std::string::npos);
  EXPECT_NE(gather_settings({"--name"}, {}).error().text.find("needs a value"), std::string::npos);
  EXPECT_NE(gather_settings({"stray"}, {}).error().text.find("stray"), std::string::npos);
}

TEST(Settings, AFileStandsAloneAndNamesItsMistakes) {
  std::vector<std::string> warnings;
  const auto read = settings_from_yaml("name: n1\nelection-timeout: 2000\npre-vote: false\n",
                                       "conf.yml", warnings);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->at("election-timeout"), "2000");
  EXPECT_EQ(read->at("pre-vote"), "false");
  const auto unknown = settings_from_yaml("nome: n1\n", "conf.yml", warnings);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().text.find("nome"), std::string::npos);
  EXPECT_FALSE(settings_from_yaml("a: [b\n", "conf.yml", warnings));
  EXPECT_FALSE(settings_from_yaml("just words", "conf.yml", warnings));
}

TEST(ClusterIds, FollowFromTheFlagsAlone) {
  // The well-known ids of a default single etcd: seen in the answers of etcd 3.4.23.
  const uint64_t member = founding_member_id({"http://localhost:2380"}, "etcd-cluster");
  EXPECT_EQ(member, 0x8e9e05c52164694dULL);
  EXPECT_EQ(founding_cluster_id({member}), 0xcdf818194e3a8c32ULL);
  EXPECT_EQ(founding_cluster_id({1, 2}), founding_cluster_id({2, 1}));
}

TEST(ClusterIds, WhoIsAddedAgainAtOnceIsAnother) {
  constexpr int64_t kNow = 1'700'000'000'000'000'000;
  const std::vector<std::string> urls = {"http://localhost:2380"};
  EXPECT_NE(added_member_id(urls, kNow), added_member_id(urls, kNow + 1));
}

TEST(Transport, etcds_sections_say_what_its_flags_say) {
  std::vector<std::string> warnings;
  const auto settings = settings_from_yaml(
      "client-transport-security:\n"
      "  cert-file: a.pem\n  key-file: a.key\n  client-cert-auth: true\n"
      "  trusted-ca-file: ca.pem\n  crl-file: a.crl\n  allowed-hostname: h\n"
      "peer-transport-security:\n"
      "  auto-tls: true\n  trusted-ca-file: pca.pem\n  allowed-cn: [x, y]\n"
      "  skip-client-san-verification: true\n"
      "cipher-suites: [A, B]\ntls-min-version: TLS1.3\n",
      "file", warnings);
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(warnings.size(), 1U);
  const auto config = make_config(*settings, "etcd");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->client_transport.certificate_file, "a.pem");
  EXPECT_EQ(config->client_transport.key_file, "a.key");
  EXPECT_EQ(config->client_transport.revoked_file, "a.crl");
  EXPECT_EQ(config->client_transport.allowed_hosts, std::vector<std::string>{"h"});
  EXPECT_TRUE(config->client_transport.certificate_authentication);
  EXPECT_TRUE(config->peer_transport.automatic);
  EXPECT_TRUE(config->peer_transport.demands_certificate());
  EXPECT_EQ(config->peer_transport.allowed_names, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(config->cipher_suites, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(config->tls_version_min, "TLS1.3");
  // Both kinds of URL are plain here: nothing of this is used, and that is said.
  EXPECT_EQ(config->warnings.size(), 4U);
  EXPECT_FALSE(settings_from_yaml("peer-transport-security:\n  cert: a\n", "file", warnings));
  EXPECT_FALSE(settings_from_yaml("peer-transport-security: a\n", "file", warnings));
}

}  // namespace
}  // namespace quorate::app
