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
  auto made = world::own_certificate(config.data_directory + "/fixtures/" + subject, hosts,
                                     static_cast<int64_t>(config.self_signed_years));
  if (!made) return std::unexpected(made.error());
  options.certificate_file = made->certificate;
  options.key_file = made->key;
  return options;
}

}  // namespace

Result<std::unique_ptr<world::Security>> client_security(const ServeConfig& config) {
  if (!any_secure(config.listen_client)) return nullptr;
  std::vector<Url> urls = config.listen_client;
  urls.insert(urls.end(), config.advertise_client.begin(), config.advertise_client.end());
  auto options = options_of(config, config.client_transport, "clients", urls);
  if (!options) return std::unexpected(options.error());
  options->identifying = config.client_transport.certificate_authentication;
  options->protocols = {"h2", "http/1.1"};
  return world::make_tls(std::move(*options));
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
