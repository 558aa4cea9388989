#include "front/grpc/http1_session.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "front/grpc/gateway.h"
#include "front/grpc/http1_body.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, [](char a, char b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(a) == lower(b);
  });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

struct RequestHead {
  HttpMethod method = HttpMethod::none;
  std::string_view target;
  bool keep_alive = true;
  bool continues = false;  // waits for "100 Continue" before it sends its body
  bool chunked = false;
  bool has_length = false;
  size_t length = 0;  // of the body
  Metadata metadata;
  std::string_view timeout;
  std::string_view host;
  std::string_view origin;
  bool chunks_known = false;  // HTTP/1.1: the answer may come in chunks
  int error = 0;              // the HTTP status to refuse it with
};

bool token_character(char character) {
  if (character >= '0' && character <= '9') return true;
  if (character >= 'a' && character <= 'z') return true;
  if (character >= 'A' && character <= 'Z') return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(character) != std::string_view::npos;
}

void parse_request_line(std::string_view line, RequestHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    head.error = 400;
    return;
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  head.target = line.substr(first + 1, last - first - 1);
  const bool version_known = version == "HTTP/1.1" || version == "HTTP/1.0";
  if (!version_known || method.empty() || !std::ranges::all_of(method, token_character) ||
      head.target.empty() || head.target.find(' ') != std::string_view::npos) {
    head.error = 400;
    return;
  }
  head.keep_alive = head.chunks_known = version == "HTTP/1.1";
  if (method == "GET") {
    head.method = HttpMethod::get;
  } else if (method == "HEAD") {
    head.method = HttpMethod::head;
  } else if (method == "POST") {
    head.method = HttpMethod::post;
  } else if (method == "OPTIONS") {
    head.method = HttpMethod::options;
  } else {
    head.method = HttpMethod::other;
    head.error = 405;
  }
}

void parse_length(std::string_view value, RequestHead& head) {
  size_t length = 0;
  const char* end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, length);
  const bool number = !value.empty() && parsed.ec == std::errc() && parsed.ptr == end;
  // Two lengths that differ are how one request is hidden in another.
  if (!number || (head.has_length && head.length != length)) {
    head.error = 400;
    return;
  }
  head.has_length = true;
  head.length = length;
}

// The line between requests must be beyond doubt (RFC 9112, section 6.3).
void check_body(RequestHead& head) {
  if (head.error != 0) return;
  if (head.chunked && head.has_length) {
    head.error = 400;
  } else if (head.method != HttpMethod::post && head.length > kIgnoredBodyBytesMax) {
    head.error = 413;
  }
}

void parse_gateway_field(std::string_view name, std::string_view value, RequestHead& head) {
  if (equal_ignoring_case(name, "grpc-timeout")) head.timeout = value;
  if (equal_ignoring_case(name, "host")) head.host = value;
  if (equal_ignoring_case(name, "origin")) head.origin = value;
  if (!equal_ignoring_case(name.substr(0, kPassedOnPrefix.size()), kPassedOnPrefix)) return;
  std::string rest(name.substr(kPassedOnPrefix.size()));
  for (char& character : rest) {
    if (character >= 'A' && character <= 'Z') character = static_cast<char>(character + 32);
  }
  head.metadata.take_passed_on(rest, value);
}

void parse_field(std::string_view line, RequestHead& head) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 ||
      !std::ranges::all_of(line.substr(0, colon), token_character)) {
    head.error = 400;
    return;
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  if (equal_ignoring_case(name, "connection")) {
    if (equal_ignoring_case(value, "close")) head.keep_alive = false;
    if (equal_ignoring_case(value, "keep-alive")) head.keep_alive = true;
  } else if (equal_ignoring_case(name, "transfer-encoding")) {
    if (head.chunked || !equal_ignoring_case(value, "chunked")) {
      head.error = 501;
    } else {
      head.chunked = true;
    }
  } else if (equal_ignoring_case(name, "content-length")) {
    parse_length(value, head);
  } else if (equal_ignoring_case(name, "expect")) {
    head.continues = equal_ignoring_case(value, "100-continue");
  } else if (equal_ignoring_case(name, "authorization")) {
    head.metadata.take_passed_on("authorization", value);
  } else {
    parse_gateway_field(name, value, head);
  }
}

// `text` ends before the empty line.
RequestHead parse_head(std::string_view text) {
  RequestHead head;
  size_t end = text.find("\r\n");
  parse_request_line(text.substr(0, end), head);
  uint32_t fields = 0;
  while (head.error == 0 && end != std::string_view::npos) {
    text.remove_prefix(end + 2);
    end = text.find("\r\n");
    parse_field(text.substr(0, end), head);
    if (++fields > kHeaderFieldsMax) head.error = 431;
  }
  check_body(head);
  return head;
}

class Http1Session final : public Session {
 public:
  explicit Http1Session(Connection& connection)
      : connection_(connection), server_(connection.server()) {
    expect(kRequestDeadline);
  }

  bool feed(std::string_view input) override {
    input_.append(input);
    run();
    // More than one head's worth behind an unanswered request is no pipelining, it is a flood.
    return input_.size() <= 2 * kRequestHeadBytesMax + kReadBytesMax;
  }
  void fill(Output& output) override;
  bool finished() const override {
    return closing_ && !busy_ && output_.empty() && streaming() == nullptr;
  }
  void respond(Call& call) override;
  void drain() override {
    closing_ = true;
    input_.clear();
  }
  Time deadline() const override { return busy_ || streaming() != nullptr ? kNever : deadline_; }
  bool on_input_end() override;

 private:
  void run();
  bool run_head();
  bool run_body();
  void start_post(const RequestHead& head);
  void expect_body(const RequestHead& head, const Call& call);
  void end_body();
  void start_request(const RequestHead& head);
  void refuse(int http_status);
  void take_head(const RequestHead& head, Call& call) const;
  void write_status(int http_status, std::string_view type);
  void write_access(const Call& call);
  void write_length(size_t size);
  Call* streaming() const { return server_.calls().find(stream_); }
  void fill_stream(Call& call, Output& output);
  void end_stream(Call& call, Output& output);
  void expect(Duration within) { deadline_ = server_.now() + within; }

  Connection& connection_;
  Server& server_;
  std::string input_;
  std::string output_;
  Time deadline_;
  Http1Body body_;             // of the request that is being read
  CallId posted_;              // which is this call
  size_t ignored_ = 0;         // bytes of it that no page wants
  CallId stream_;              // whose answer has begun and goes on
  bool chunks_known_ = false;  // by the client of that
  bool last_ = false;          // the connection closes behind it
  bool busy_ = false;          // a request waits for its answer
  bool closing_ = false;       // no further request
  bool running_ = false;
};

void Http1Session::run() {
  if (running_) return;
  running_ = true;
  while (!busy_ && !closing_ && !input_.empty()) {
    if (!(body_.open() ? run_body() : run_head())) break;
  }
  running_ = false;
}

// False: more input is needed.
bool Http1Session::run_head() {
  const size_t end = input_.find("\r\n\r\n");
  if (std::min(end, input_.size()) > kRequestHeadBytesMax) {
    refuse(431);
    return false;
  }
  if (end == std::string::npos) return false;
  const std::string text = input_.substr(0, end);
  input_.erase(0, end + 4);
  const RequestHead head = parse_head(text);
  if (head.error != 0) {
    refuse(head.error);
  } else if (head.method == HttpMethod::post) {
    start_post(head);
  } else {
    start_request(head);
  }
  return true;
}

void Http1Session::take_head(const RequestHead& head, Call& call) const {
  call.http_method = head.method;
  call.path = head.target;
  call.origin = head.origin;
  if (server_.options().access.checks_hosts()) call.host = head.host;
}

void Http1Session::start_post(const RequestHead& head) {
  if (head.length > server_.posted_bytes_max()) return refuse(413);
  Call& call = server_.calls().acquire(connection_);
  connection_.adopt(call);
  take_head(head, call);
  call.metadata = head.metadata;
  if (!head.timeout.empty()) {
    const auto timeout = parse_timeout(head.timeout);
    call.timeout_malformed = !timeout;
    if (timeout) call.deadline = Time(*timeout);
  }
  expect_body(head, call);
  if (!server_.on_post(call)) {
    body_.close();
    server_.forget_call(call);
    return refuse(head.target.starts_with("/v3") ? 404 : 405);
  }
  if (server_.calls().find(posted_) == nullptr) return;  // refused already
  if (body_.done()) {
    end_body();
  } else if (head.continues && input_.empty()) {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

void Http1Session::expect_body(const RequestHead& head, const Call& call) {
  posted_ = call.id;
  ignored_ = 0;
  last_ = !head.keep_alive;
  chunks_known_ = head.chunks_known;
  expect(kRequestDeadline);
  if (head.chunked) {
    body_.expect_chunks();
  } else {
    body_.expect_length(head.length);
  }
}

// False: more input is needed.
bool Http1Session::run_body() {
  std::string part;
  const size_t taken = body_.take(input_, part);
  input_.erase(0, taken);
  if (Call* call = server_.calls().find(posted_); call != nullptr && !part.empty()) {
    if (call->http_method == HttpMethod::post) {
      server_.on_data(*call, part);  // which may answer it, see respond()
    } else {
      ignored_ += part.size();
    }
  }
  if (body_.malformed() || ignored_ > kIgnoredBodyBytesMax) {
    const int status = body_.malformed() ? 400 : 413;
    const bool begun = streaming() != nullptr;
    body_.close();
    if (Call* call = server_.calls().find(posted_); call != nullptr) server_.forget_call(*call);
    if (!begun) {
      refuse(status);
    } else {  // another head would be read as part of the answer
      closing_ = true;
      input_.clear();
    }
    return false;
  }
  if (!body_.done()) return taken > 0;
  end_body();
  return true;
}

void Http1Session::end_body() {
  body_.close();
  busy_ = true;
  if (last_) closing_ = true;
  Call* call = server_.calls().find(posted_);
  if (call == nullptr) return;
  if (call->http_method == HttpMethod::post) {
    server_.on_half_close(*call);
  } else {
    call->remote_closed = true;
    server_.on_page(*call);
  }
}

void Http1Session::start_request(const RequestHead& head) {
  Call& call = server_.calls().acquire(connection_);
  connection_.adopt(call);
  take_head(head, call);
  expect_body(head, call);
  if (body_.done()) {
    end_body();
  } else if (head.continues && input_.empty()) {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

// A client that goes away ends what it waits for: its place in a line, its watch.
bool Http1Session::on_input_end() {
  const Call* call = server_.calls().find(posted_);
  if (call != nullptr && call->method != nullptr && call->method->stream != nullptr) return false;
  drain();
  return true;
}

void Http1Session::write_status(int http_status, std::string_view type) {
  output_ += "HTTP/1.1 " + std::to_string(http_status) + " ";
  output_ += reason_phrase(http_status);
  output_ += "\r\n";
  if (!type.empty()) output_ += "Content-Type: " + std::string(type) + "\r\n";
}

void Http1Session::write_access(const Call& call) {
  const auto origin = server_.options().access.allowed_origin(call.origin);
  if (origin.empty()) return;
  output_ += "Access-Control-Allow-Headers: ";
  output_ += kAllowedHeaders;
  output_ += "\r\nAccess-Control-Allow-Methods: ";
  output_ += kAllowedMethods;
  output_ += "\r\nAccess-Control-Allow-Origin: ";
  output_ += origin;
  output_ += "\r\n";
}

// Ends the head.
void Http1Session::write_length(size_t size) {
  output_ += "Content-Length: " + std::to_string(size) + "\r\n";
  if (closing_) output_ += "Connection: close\r\n";
  output_ += "\r\n";
}

void Http1Session::refuse(int http_status) {
  closing_ = true;
  input_.clear();
  const std::string body = std::string(reason_phrase(http_status)) + "\n";
  write_status(http_status, "text/plain; charset=utf-8");
  if (http_status == 405) output_ += "Allow: GET, HEAD\r\n";
  write_length(body.size());
  output_ += body;
}

void Http1Session::respond(Call& call) {
  if (call.streamed) {
    if (call.submitted) return;  // the rest leaves in fill()
    call.submitted = true;
    stream_ = call.id;
    write_status(200, call.page_type);
    write_access(call);
    if (chunks_known_) output_ += "Transfer-Encoding: chunked\r\n";
    output_ += last_ || !chunks_known_ ? "Connection: close\r\n\r\n" : "\r\n";
    return;
  }
  if (!call.finished || call.submitted) return;
  call.submitted = true;
  if (body_.open()) {  // answered before its end: what still comes is not a request
    body_.close();
    closing_ = true;
    input_.clear();
  }
  const size_t size = call.unsent();
  write_status(call.http_status, call.page_type);
  write_access(call);
  write_length(size);
  std::string body;
  call.output.copy(size, body);
  connection_.count_sent(size);
  if (call.http_method != HttpMethod::head) output_ += body;
  busy_ = false;
  expect(kKeptAliveDeadline);
  server_.forget_call(call);
  run();
}

// A stream's bytes stay with the call until there is room: so its handler sees what waits.
void Http1Session::fill(Output& output) {
  output.append(output_);
  output_.clear();
  if (Call* call = streaming(); call != nullptr) fill_stream(*call, output);
}

void Http1Session::fill_stream(Call& call, Output& output) {
  const CallId id = call.id;
  const size_t size = std::min(call.unsent(), kOutputBytesMax);
  if (size > 0) {
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), size, 16).ptr;
    if (chunks_known_) output.text().append(digits.begin(), end).append("\r\n");
    call.take_output(size, output);
    connection_.count_sent(size);
    if (chunks_known_) output.append("\r\n");
  }
  if (call.unsent() > 0) return;
  if (call.finished) return end_stream(call, output);
  if (size > 0) call.method->stream->on_writable(id);
}

void Http1Session::end_stream(Call& call, Output& output) {
  if (chunks_known_) output.append("0\r\n\r\n");
  if (!chunks_known_ || last_ || body_.open()) {
    body_.close();
    closing_ = true;
    input_.clear();
  }
  busy_ = false;
  expect(kKeptAliveDeadline);
  server_.forget_call(call);
  run();
}

}  // namespace

std::unique_ptr<Session> make_http1_session(Connection& connection) {
  return std::make_unique<Http1Session>(connection);
}

}  // namespace quorate::front::grpc
