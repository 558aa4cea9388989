#include "front/grpc/http1_session.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "front/grpc/http1_body.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

std::string_view reason_phrase(int http_status) {
  switch (http_status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

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
  std::string_view authorization;
  int error = 0;  // the HTTP status to refuse it with
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
  head.keep_alive = version == "HTTP/1.1";
  if (method == "GET") {
    head.method = HttpMethod::get;
  } else if (method == "HEAD") {
    head.method = HttpMethod::head;
  } else if (method == "POST") {
    head.method = HttpMethod::post;
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
  } else if (head.method != HttpMethod::post && (head.chunked || head.length > 0)) {
    head.error = 413;  // no page takes a body
  }
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
    head.authorization = value;
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
  void fill(std::string& output) override {
    output.append(output_);
    output_.clear();
  }
  bool finished() const override { return closing_ && !busy_ && output_.empty(); }
  void respond(Call& call) override;
  void drain() override {
    closing_ = true;
    input_.clear();
  }
  Time deadline() const override { return busy_ ? kNever : deadline_; }
  bool on_input_end() override {
    drain();
    return true;
  }

 private:
  void run();
  bool run_head();
  bool run_body();
  void start_post(const RequestHead& head);
  void end_post();
  void start_request(const RequestHead& head);
  void refuse(int http_status);
  void write_head(int http_status, std::string_view type, size_t size);
  void expect(Duration within) { deadline_ = server_.now() + within; }

  Connection& connection_;
  Server& server_;
  std::string input_;
  std::string output_;
  Time deadline_;
  Http1Body body_;        // of the request that is being read
  CallId posted_;         // which is this call
  bool last_ = false;     // the connection closes behind it
  bool busy_ = false;     // a request waits for its answer
  bool closing_ = false;  // no further request
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

void Http1Session::start_post(const RequestHead& head) {
  if (head.length > server_.posted_bytes_max()) return refuse(413);
  Call& call = server_.calls().acquire(connection_);
  connection_.adopt(call);
  call.http_method = head.method;
  call.path = head.target;
  call.metadata.token = head.authorization;
  if (!server_.on_post(call)) {
    server_.forget_call(call);
    return refuse(head.target.starts_with("/v3/") ? 404 : 405);
  }
  posted_ = call.id;
  last_ = !head.keep_alive;
  expect(kRequestDeadline);
  if (head.chunked) {
    body_.expect_chunks();
  } else {
    body_.expect_length(head.length);
  }
  if (body_.done()) {
    end_post();
  } else if (head.continues && input_.empty()) {
    output_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

// False: more input is needed.
bool Http1Session::run_body() {
  std::string part;
  const size_t taken = body_.take(input_, part);
  input_.erase(0, taken);
  if (Call* call = server_.calls().find(posted_); call != nullptr && !part.empty()) {
    server_.on_data(*call, part);  // which may answer it, see respond()
  }
  if (body_.malformed()) {
    body_.close();
    if (Call* call = server_.calls().find(posted_); call != nullptr) server_.forget_call(*call);
    refuse(400);
    return false;
  }
  if (!body_.done()) return taken > 0;
  end_post();
  return true;
}

void Http1Session::end_post() {
  body_.close();
  busy_ = true;
  if (last_) closing_ = true;
  if (Call* call = server_.calls().find(posted_); call != nullptr) server_.on_half_close(*call);
}

void Http1Session::start_request(const RequestHead& head) {
  busy_ = true;
  if (!head.keep_alive) closing_ = true;
  Call& call = server_.calls().acquire(connection_);
  connection_.adopt(call);
  call.http_method = head.method;
  call.path = head.target;
  call.remote_closed = true;
  server_.on_page(call);
}

void Http1Session::write_head(int http_status, std::string_view type, size_t size) {
  output_ += "HTTP/1.1 " + std::to_string(http_status) + " ";
  output_ += reason_phrase(http_status);
  output_ += "\r\nContent-Type: ";
  output_ += type;
  output_ += "\r\nContent-Length: " + std::to_string(size) + "\r\n";
  if (http_status == 405) output_ += "Allow: GET, HEAD\r\n";
  if (closing_) output_ += "Connection: close\r\n";
  output_ += "\r\n";
}

void Http1Session::refuse(int http_status) {
  closing_ = true;
  input_.clear();
  const std::string body = std::string(reason_phrase(http_status)) + "\n";
  write_head(http_status, "text/plain; charset=utf-8", body.size());
  output_ += body;
}

void Http1Session::respond(Call& call) {
  if (!call.finished || call.submitted) return;
  call.submitted = true;
  if (body_.open()) {  // answered before its end: what still comes is not a request
    body_.close();
    closing_ = true;
    input_.clear();
  }
  const size_t size = call.unsent();
  write_head(call.http_status, call.page_type, size);
  std::string body;
  call.take_output(size, body);
  connection_.count_sent(size);
  if (call.http_method != HttpMethod::head) output_ += body;
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
