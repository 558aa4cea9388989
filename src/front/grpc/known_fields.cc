#include "front/grpc/known_fields.h"

#include <nghttp2/nghttp2.h>

#include "front/grpc/limits.h"
#include "front/grpc/status.h"

namespace quorate::front::grpc {
namespace {

HttpMethod parse_method(std::string_view value) {
  if (value == "POST") return HttpMethod::post;
  if (value == "GET") return HttpMethod::get;
  if (value == "HEAD") return HttpMethod::head;
  if (value == "OPTIONS") return HttpMethod::options;
  return HttpMethod::other;
}

bool is_grpc(std::string_view content_type) {
  constexpr std::string_view kType = "application/grpc";
  if (!content_type.starts_with(kType)) return false;
  if (content_type.size() == kType.size()) return true;
  return content_type[kType.size()] == '+' || content_type[kType.size()] == ';';
}

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const auto [bytes, size] = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes), size};
}

bool same(nghttp2_rcbuf* known, nghttp2_rcbuf* arrived) {
  return known == arrived || text_of(known) == text_of(arrived);
}

// Nothing came that an Outcome does not hold.
bool ordinary(const Call& call) {
  return call.metadata.token.empty() && call.metadata.version.empty() &&
         call.metadata.encoding.empty() && !call.metadata.needs_leader &&
         call.content_type.empty() && call.host.empty() && call.origin.empty() &&
         !call.timeout_malformed && call.deadline == kNever;
}

}  // namespace

void take_field(Call& call, std::string_view name, std::string_view value, bool keeps_host) {
  ++call.header_fields;
  call.header_bytes += name.size() + value.size() + 32;  // as RFC 9113 6.5.2 counts
  if (call.header_fields > kHeaderFieldsMax || call.header_bytes > kHeaderListBytesMax) return;
  call.fields.take(name, value);
  switch (name.size()) {
    case 5:
      if (name == ":path") call.path = value;
      if (name == "token") call.metadata.token = value;
      break;
    case 6:
      if (name == "origin") call.origin = value;
      break;
    case 7:
      if (name == ":method") call.http_method = parse_method(value);
      break;
    case 9:
      if (name == "hasleader") call.metadata.needs_leader = value == "true";
      break;
    case 10:
      // Of plain HTTP only, but which it is the headers behind this one tell.
      if (keeps_host && name == ":authority") call.host = value;
      break;
    case 12:
      if (name == "content-type") {
        call.grpc_content = is_grpc(value);
        if (!call.grpc_content) call.content_type = value;
      } else if (name == "grpc-timeout") {
        const auto timeout = parse_timeout(value);
        call.timeout_malformed = !timeout;
        if (timeout) call.deadline = Time(*timeout);
      }
      break;
    case 13:
      if (name == "grpc-encoding") call.metadata.encoding = value;
      if (name == "authorization" && call.metadata.token.empty()) call.metadata.token = value;
      break;
    case 18:
      if (name == "client-api-version") call.metadata.version = value;
      break;
    default:
      if (name.starts_with(kPassedOnPrefix)) {
        call.metadata.take_passed_on(name.substr(kPassedOnPrefix.size()), value);
      }
      break;
  }
}

void KnownFields::begin() {
  matched_ = 0;
  state_ = known_.empty() ? State::learning : State::matching;
}

void KnownFields::take(Call& call, nghttp2_rcbuf* name, nghttp2_rcbuf* value, bool keeps_host) {
  if (state_ == State::matching) {
    const bool more = matched_ < known_.size();
    if (more && same(known_[matched_].name, name) && same(known_[matched_].value, value)) {
      ++matched_;
      return;
    }
    stop_matching(call, keeps_host);
  }
  take_field(call, text_of(name), text_of(value), keeps_host);
  if (state_ == State::learning) learn(call, name, value);
}

void KnownFields::end(Call& call, bool keeps_host) {
  if (state_ == State::matching) stop_matching(call, keeps_host);
  state_ = State::passing;
}

void KnownFields::stop_matching(Call& call, bool keeps_host) {
  state_ = State::passing;
  if (matched_ == known_.size()) {
    misses_ = 0;
    call.http_method = outcome_.http_method;
    call.grpc_content = outcome_.grpc_content;
    call.header_fields = outcome_.header_fields;
    call.header_bytes = outcome_.header_bytes;
    call.fields = outcome_.fields;
    call.path = outcome_.path;
    return;
  }
  for (size_t place = 0; place < matched_; ++place) {
    take_field(call, text_of(known_[place].name), text_of(known_[place].value), keeps_host);
  }
  if (++misses_ < kMissesToLearnAgain) return;
  misses_ = 0;
  forget_from(matched_);
  remember(call);
  state_ = State::learning;
}

void KnownFields::remember(const Call& call) {
  outcome_ = {call.http_method,  call.grpc_content, call.header_fields,
              call.header_bytes, call.fields,       call.path};
}

void KnownFields::learn(const Call& call, nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
  if (known_.size() == kKnownFieldsMax || call.header_bytes > kKnownFieldBytesMax ||
      !ordinary(call)) {
    state_ = State::passing;
    return;
  }
  nghttp2_rcbuf_incref(name);
  nghttp2_rcbuf_incref(value);
  known_.push_back({name, value});
  remember(call);
}

void KnownFields::forget_from(size_t place) {
  for (size_t each = place; each < known_.size(); ++each) {
    nghttp2_rcbuf_decref(known_[each].name);
    nghttp2_rcbuf_decref(known_[each].value);
  }
  known_.resize(place);
}

}  // namespace quorate::front::grpc
