#include "app/securing.h"

#include <algorithm>

#include "base/log.h"
#include "world/tls/issue.h"
#include "world/tls/tls.h"

namespace quorate::app {
namespace {

bool any_secure(const std::vector<Url>& urls) { return std::ranges::any_of(urls, &Url::secure); }

Result<world::TlsOptions> options_of(const ServeConfig& config, const TransportConfig& transport,
                                     const std::string& subject, const std::vector<Url>& urls) {
  world::TlsOptions options;
  options.subject = subject;
  options.certificate_file = transport.certificate_file;
  options.key_file = transport.key_file;
  options.authorities_file = transport.authorities_file;
  options.revoked_file = transport.revoked_file;
  options.certificate_demanded = transport.demands_certificate();
  options.allowed_names = transport.allowed_names;
  options.allowed_hosts = transport.allowed_hosts;
  options.cipher_suites = config.cipher_suites;
  options.version_min = config.tls_version_min;
  options.version_max = config.tls_version_max;
  if (!transport.certificate_file.empty() || !transport.automatic) return options;
  std::vector<std::string> hosts;
  for (const Url& url : urls) {
    if (std::ranges::find(hosts, url.host) == hosts.end()) hosts.push_back(url.host);
  }
  // Where etcd keeps such ones.
  const std::string place = subject == "peers" ? "/fixtures/peer" : "/fixtures/client";
  auto made = world::own_certificate(config.data_directory + place, hosts,
                                     static_cast<int64_t>(config.self_signed_years));
  if (!made) return std::unexpected(made.error());
  options.certificate_file = made->certificate;
  options.key_file = made->key;
  return options;
}

// One certificate for those who dial, another for those who are dialled.
class TwoCertificates final : public world::Security {
 public:
  TwoCertificates(std::unique_ptr<world::Security> listening,
                  std::unique_ptr<world::Security> dialling)
      : listening_(std::move(listening)), dialling_(std::move(dialling)) {}
  std::unique_ptr<world::SecureChannel> accept() override { return listening_->accept(); }
  std::unique_ptr<world::SecureChannel> dial(const std::string& host) override {
    return dialling_->dial(host);
  }

 private:
  std::unique_ptr<world::Security> listening_;
  std::unique_ptr<world::Security> dialling_;
};

}  // namespace

Result<std::unique_ptr<world::Security>> client_security(const ServeConfig& config) {
  std::vector<Url> urls = config.listen_client;
  urls.insert(urls.end(), config.listen_client_http.begin(), config.listen_client_http.end());
  urls.insert(urls.end(), config.listen_metrics.begin(), config.listen_metrics.end());
  if (!any_secure(urls)) return nullptr;
  urls.insert(urls.end(), config.advertise_client.begin(), config.advertise_client.end());
  auto options = options_of(config, config.client_transport, "clients", urls);
  if (!options) return std::unexpected(options.error());
  options->identifying = config.client_transport.certificate_authentication;
  options->protocols = {"h2", "http/1.1"};
  return world::make_tls(std::move(*options));
}

Result<std::unique_ptr<world::Security>> peer_security(const ServeConfig& config) {
  const TransportConfig& transport = config.peer_transport;
  bool wanted = any_secure(config.listen_peer) || any_secure(config.advertise_peer) ||
                transport.has_certificate() || transport.demands_certificate();
  for (const FoundingMember& member : config.cluster) {
    wanted = wanted || any_secure(member.peer_urls);
  }
  if (!wanted) return nullptr;
  std::vector<Url> urls = config.listen_peer;
  urls.insert(urls.end(), config.advertise_peer.begin(), config.advertise_peer.end());
  auto options = options_of(config, transport, "peers", urls);
  if (!options) return std::unexpected(options.error());
  // Certificates of one's own making keep listeners out; nobody can tell whose they are.
  options->trusts_anyone = transport.automatic && transport.certificate_file.empty();
  if (options->trusts_anyone) {
    log(LogLevel::warn,
        "--peer-auto-tls: what members say to each other is sealed, but whoever reaches their "
        "peer URLs is believed to be a member; give --peer-cert-file and --peer-trusted-ca-file "
        "to have them checked");
  }
  if (transport.dialling_certificate_file.empty()) return world::make_tls(std::move(*options));
  world::TlsOptions dials = *options;
  dials.certificate_file = transport.dialling_certificate_file;
  dials.key_file = transport.dialling_key_file;
  auto listening = world::make_tls(std::move(*options));
  if (!listening) return listening;
  auto dialling = world::make_tls(std::move(dials));
  if (!dialling) return dialling;
  return std::make_unique<TwoCertificates>(std::move(*listening), std::move(*dialling));
}

Result<std::unique_ptr<world::Security>> command_security(const Credentials& credentials) {
  world::TlsOptions options;
  options.subject = "servers";
  options.authorities_file = credentials.authorities_file;
  options.certificate_file = credentials.certificate_file;
  options.key_file = credentials.key_file;
  options.trusts_anyone = credentials.trusts_anyone;
  options.protocols = {"h2"};
  return world::make_tls(std::move(options));
}

}  // namespace quorate::app
