#include "front/etcd/callers.h"

#include <charconv>

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::AuthBook;
using machine::etcd::Caller;
using machine::etcd::TokenNews;

namespace {

std::string_view token_of(const grpc::Call& call) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view token = call.metadata.token;
  if (token.starts_with(kScheme)) token.remove_prefix(kScheme.size());
  return token;
}

// Of a token of ours: the entry that gave it out. Zero: it is none.
Index birth_of(std::string_view token) {
  const size_t dot = token.find('.');
  if (dot == std::string_view::npos) return {};
  Index index;
  const auto [end, error] =
      std::from_chars(token.data() + dot + 1, token.data() + token.size(), index.value);
  const bool whole = error == std::errc() && end == token.data() + token.size();
  return whole ? index : Index{};
}

}  // namespace

Callers::Callers(world::Executor& executor, grpc::Server& server, const AuthOptions& options)
    : executor_(executor), server_(server), life_(options.token_life), signer_(options.signer) {}

std::expected<Caller, ApiError> Callers::identify(CallId call, const AuthBook& auth) {
  const grpc::Call* found = server_.find(call);
  if (found == nullptr) return Caller{};
  const std::string_view token = token_of(*found);
  if (!token.empty()) return signer_ != nullptr ? find_signed(token) : find_own(token, auth);
  // What the gateway passes on has the certificate of somebody else.
  const std::string_view name = found->posted ? std::string_view() : server_.peer_common_name(call);
  if (name.empty()) return Caller{};
  return Caller{name, auth.revision(), false};
}

std::expected<Caller, ApiError> Callers::find_signed(std::string_view token) {
  auto known = verified_.find(token);
  if (known == verified_.end()) {
    auto claims = signer_->verify(token);
    if (!claims) return std::unexpected(ApiError::invalid_auth_token);
    if (verified_.size() >= kVerifiedMax) verified_.clear();
    known = verified_.emplace(token, std::move(*claims)).first;
  }
  const TokenClaims& claims = known->second;
  if (executor_.wall_nanoseconds() / 1'000'000'000 >= claims.expires) {
    verified_.erase(known);
    return std::unexpected(ApiError::invalid_auth_token);
  }
  return Caller{claims.user, claims.auth_revision, false};
}

std::expected<Caller, ApiError> Callers::find_own(std::string_view token, const AuthBook& auth) {
  auto found = tokens_.find(token);
  if (found == tokens_.end()) {
    follow(auth);
    found = tokens_.find(token);
  }
  const Time now = executor_.now();
  const bool good = found != tokens_.end() && found->second.expires > now &&
                    auth.still_proven(found->second.user, found->second.auth_revision);
  if (!good) return std::unexpected(ApiError::invalid_auth_token);
  found->second.expires = now + life_;
  return Caller{found->second.user, auth.revision(), false};
}

bool Callers::is_ahead(CallId call, Index applied) const {
  const grpc::Call* found = server_.find(call);
  if (found == nullptr || found->metadata.token.empty() || signer_ != nullptr) return false;
  return birth_of(token_of(*found)) > applied;
}

void Callers::follow(const AuthBook& auth) {
  if (auth.last_token() > seen_) {
    auth.tokens_after(seen_, [this](const TokenNews& news) { add(news); });
    seen_ = auth.last_token();
  }
  const Time now = executor_.now();
  while (!ends_.empty() && ends_.front().first <= now) {
    const auto found = tokens_.find(ends_.front().second);
    if (found != tokens_.end() && found->second.expires > now) {
      ends_.emplace_back(found->second.expires, std::move(ends_.front().second));
    } else if (found != tokens_.end()) {
      tokens_.erase(found);
    }
    ends_.pop_front();
  }
}

void Callers::add(const TokenNews& news) {
  if (tokens_.size() >= kTokensMax && !ends_.empty()) {
    tokens_.erase(ends_.front().second);
    ends_.pop_front();
  }
  const Time expires = executor_.now() + life_;
  if (!tokens_.try_emplace(news.token, Token{news.user, news.auth_revision, expires}).second)
    return;
  ends_.emplace_back(expires, news.token);
}

void Callers::forget() {
  tokens_.clear();
  ends_.clear();
  verified_.clear();
}

}  // namespace quorate::front::etcd
