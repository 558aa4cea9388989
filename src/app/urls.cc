#include "app/urls.h"

#include <arpa/inet.h>

#include <charconv>

namespace quorate::app {
namespace {

std::unexpected<Error> bad(std::string_view flag, std::string_view url, std::string_view why) {
  return fail(ErrorKind::invalid, "--" + std::string(flag) + ": \"" + std::string(url) + "\" " +
                                      std::string(why) + "; write it like http://127.0.0.1:2379");
}

bool split_host_port(std::string_view text, Url& url) {
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != ':') {
      return false;
    }
    url.host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos) {
      return false;
    }
    url.host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
  return error == std::errc() && end == port.data() + port.size() && !url.host.empty();
}

Result<Url> parse_url(std::string_view flag, std::string_view text) {
  Url url;
  url.text = text;
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos) return bad(flag, text, "has no scheme");
  const std::string_view scheme = text.substr(0, mark);
  url.secure = scheme == "https";
  if (scheme != "http" && !url.secure) {
    return bad(flag, text, "has a scheme other than http and https");
  }
  std::string_view rest = text.substr(mark + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@") != std::string_view::npos) {
    return bad(flag, text, "must be only scheme, host and port");
  }
  if (!split_host_port(rest, url)) return bad(flag, text, "has no valid host:port");
  return url;
}

bool is_ip(const std::string& host) {
  unsigned char space[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), space) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), space) == 1;
}

}  // namespace

std::string Url::address() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Url::dial_address() const { return (secure ? "https://" : "") + address(); }

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t at = text.find(separator);
    const std::string_view part = text.substr(0, at);
    const size_t first = part.find_first_not_of(" \t");
    if (first != std::string_view::npos) {
      parts.emplace_back(part.substr(first, part.find_last_not_of(" \t") - first + 1));
    }
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

std::vector<std::string> texts(const std::vector<Url>& urls) {
  std::vector<std::string> list;
  list.reserve(urls.size());
  for (const Url& url : urls) list.push_back(url.text);
  return list;
}

Result<std::vector<Url>> parse_urls(std::string_view flag, std::string_view list) {
  std::vector<Url> urls;
  for (const std::string& part : split(list, ',')) {
    auto url = parse_url(flag, part);
    if (!url) return std::unexpected(url.error());
    urls.push_back(std::move(*url));
  }
  if (urls.empty()) return bad(flag, list, "names no URL");
  return urls;
}

Result<void> check_listen_url(std::string_view flag, const Url& url) {
  if (url.host == "localhost" || is_ip(url.host)) return {};
  return fail(ErrorKind::invalid,
              "--" + std::string(flag) + ": expected an IP address in \"" + url.text +
                  "\" to listen on; a name may be given in the advertise flags only");
}

Result<std::string> endpoint_address(std::string_view text, bool secure) {
  constexpr std::string_view kSecure = "https://";
  constexpr std::string_view kPlain = "http://";
  std::string_view rest = text;
  if (rest.starts_with(kSecure)) {
    rest.remove_prefix(kSecure.size());
    secure = true;
  } else if (rest.starts_with(kPlain)) {
    rest.remove_prefix(kPlain.size());
    secure = false;
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::string scheme(secure ? kSecure : "");
  Url url;
  if (split_host_port(rest, url)) return scheme + url.address();
  if (!rest.empty() && rest.find_first_of(":/?# ") == std::string_view::npos) {
    return scheme + std::string(rest) + ":2379";
  }
  return fail(ErrorKind::invalid, "endpoint \"" + std::string(text) +
                                      "\" is not host:port; write it like 127.0.0.1:2379");
}

}  // namespace quorate::app
