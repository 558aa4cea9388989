#include "front/grpc/client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include "base/check.h"

namespace quorate::front::grpc {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPrefixBytes = 5;  // compressed flag and length, in front of each message
constexpr int32_t kWindowBytes = 16 << 20;
constexpr size_t kReadBytes = size_t{256} << 10U;

struct Call {
  uint64_t number = 0;
  std::string path;
  std::string request;  // with its prefix
  size_t sent = 0;
  bool begun = false;       // some of the request left for the socket
  bool many = false;        // a stream
  bool sends_more = false;  // a stream that is not half-closed
  Clock::time_point deadline = Clock::time_point::max();
  std::string received;
  int status = -1;
  int http_status = 0;
  std::string message;
};

int milliseconds_until(Clock::time_point when) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
  if (left < 0) return 0;
  return left > 60'000 ? 60'000 : static_cast<int>(left);
}

void append_frame(std::string_view message, std::string& out) {
  out.push_back('\0');  // not compressed
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((message.size() >> static_cast<unsigned>(shift)) & 255U));
  }
  out.append(message);
}

// The length in front of a message; the caller has its prefix.
size_t frame_bytes(std::string_view received) {
  size_t size = 0;
  for (size_t at = 1; at < kPrefixBytes; ++at) {
    size = (size << 8U) | static_cast<unsigned char>(received[at]);
  }
  return size;
}

// gRPC carries status texts percent-encoded.
std::string percent_decoded(std::string_view text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '%' && at + 2 < text.size()) {
      const std::string digits(text.substr(at + 1, 2));
      char* end = nullptr;
      const long value = std::strtol(digits.c_str(), &end, 16);
      if (end == digits.c_str() + 2) {
        plain.push_back(static_cast<char>(value));
        at += 2;
        continue;
      }
    }
    plain.push_back(text[at]);
  }
  return plain;
}

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 does not write through these pointers; its C interface only lacks the const.
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  return {name_bytes, value_bytes, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

class Http2Client : public Client {
 public:
  Http2Client(int descriptor, std::string address, std::unique_ptr<world::SecureChannel> channel)
      : descriptor_(descriptor),
        address_(std::move(address)),
        authority_(address_.starts_with(kSecureScheme) ? address_.substr(kSecureScheme.size())
                                                       : address_),
        channel_(std::move(channel)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0, "out of memory");
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(kWindowBytes)},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindowBytes);
  }
  ~Http2Client() override {
    nghttp2_session_del(session_);
    ::close(descriptor_);
  }
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Waits until the channel is open; an error is a sentence.
  Result<void> shake_hands(Clock::time_point deadline);
  uint64_t submit(std::string_view path, std::string_view request, Duration timeout) override;
  std::vector<Finished> wait(Duration timeout) override;
  Answer call(std::string_view path, std::string_view request, Duration timeout) override;
  uint64_t open(std::string_view path) override;
  void send(uint64_t call, std::string_view message) override;
  void close_sending(uint64_t call) override;
  void cancel(uint64_t call) override;
  std::vector<Arrival> arrivals(Duration timeout, std::span<const int> others) override;
  void authorize(std::string token) override { token_ = std::move(token); }
  size_t under_way() const override { return calls_.size(); }
  bool usable() const override {
    return !broken_ && nghttp2_session_check_request_allowed(session_);
  }

 private:
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags,
                       void* user);
  static int on_data(nghttp2_session* session, uint8_t flags, int32_t stream, const uint8_t* data,
                     size_t size, void* user);
  static int on_close(nghttp2_session* session, int32_t stream, uint32_t error, void* user);
  static ssize_t read_request(nghttp2_session* session, int32_t stream, uint8_t* target,
                              size_t room, uint32_t* flags, nghttp2_data_source* source,
                              void* user);
  void finish(std::map<int32_t, Call>::iterator at, Fate fate, int status, std::string text);
  void finish_closed(std::map<int32_t, Call>::iterator at, uint32_t error);
  void expire();
  void break_off(const std::string& why);
  bool flush();
  void receive();
  bool take(std::string_view plain);
  void take_sealed(std::string_view sealed);
  uint64_t start(Call call, Duration timeout);
  bool turn(Clock::time_point end, std::span<const int> others);
  bool take_messages(Call& call);
  std::map<int32_t, Call>::iterator find(uint64_t number);

  const int descriptor_;
  const std::string address_;
  const std::string authority_;
  const std::unique_ptr<world::SecureChannel> channel_;  // null: plain
  std::string why_broken_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Call> calls_;  // by stream
  std::vector<Finished> finished_;
  std::vector<Arrival> arrivals_;
  std::string token_;
  std::string unsent_;
  uint64_t next_number_ = 1;
  bool broken_ = false;
};

// NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
int Http2Client::on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                           size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                           void* user) {
  auto& self = *static_cast<Http2Client*>(user);
  auto at = self.calls_.find(frame->hd.stream_id);
  if (at == self.calls_.end()) return 0;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":status") at->second.http_status = std::atoi(text.c_str());
  if (key == "grpc-status") at->second.status = std::atoi(text.c_str());
  if (key == "grpc-message") at->second.message = percent_decoded(text);
  return 0;
}

int Http2Client::on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data,
                         size_t size, void* user) {
  auto& self = *static_cast<Http2Client*>(user);
  auto at = self.calls_.find(stream);
  if (at == self.calls_.end()) return 0;
  std::string& received = at->second.received;
  if (received.size() + size > kAnswerBytesMax + kPrefixBytes) {
    nghttp2_submit_rst_stream(self.session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    return 0;
  }
  received.append(reinterpret_cast<const char*>(data), size);
  if (at->second.many && !self.take_messages(at->second)) {
    nghttp2_submit_rst_stream(self.session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    self.finish(at, Fate::lost, 0, self.address_ + " sent something that is not a gRPC message");
  }
  return 0;
}

// Moves whole messages out of what was received. False: they are not such as we asked for.
bool Http2Client::take_messages(Call& call) {
  size_t taken = 0;
  while (call.received.size() - taken >= kPrefixBytes) {
    const std::string_view rest = std::string_view(call.received).substr(taken);
    const size_t size = frame_bytes(rest);
    if (rest[0] != 0 || size > kAnswerBytesMax) return false;
    if (rest.size() - kPrefixBytes < size) break;
    arrivals_.push_back({call.number, false, std::string(rest.substr(kPrefixBytes, size)), {}});
    taken += kPrefixBytes + size;
  }
  call.received.erase(0, taken);
  return true;
}

int Http2Client::on_close(nghttp2_session*, int32_t stream, uint32_t error, void* user) {
  auto& self = *static_cast<Http2Client*>(user);
  auto at = self.calls_.find(stream);
  if (at != self.calls_.end()) self.finish_closed(at, error);
  return 0;
}

// NOLINTNEXTLINE(readability-function-size): the signature is nghttp2's
ssize_t Http2Client::read_request(nghttp2_session*, int32_t, uint8_t* target, size_t room,
                                  uint32_t* flags, nghttp2_data_source* source, void*) {
  auto& call = *static_cast<Call*>(source->ptr);
  const size_t size = std::min(room, call.request.size() - call.sent);
  if (size == 0 && call.sends_more) return NGHTTP2_ERR_DEFERRED;
  call.request.copy(reinterpret_cast<char*>(target), size, call.sent);
  call.sent += size;
  call.begun = true;
  if (call.sent < call.request.size()) return static_cast<ssize_t>(size);
  if (!call.sends_more) *flags |= NGHTTP2_DATA_FLAG_EOF;
  call.request.clear();
  call.sent = 0;
  return static_cast<ssize_t>(size);
}

void Http2Client::finish(std::map<int32_t, Call>::iterator at, Fate fate, int status,
                         std::string text) {
  Answer answer{fate, status, std::move(text), {}};
  if (at->second.many) {
    arrivals_.push_back({at->second.number, true, {}, std::move(answer)});
    calls_.erase(at);
    return;
  }
  if (fate == Fate::answered && status == 0) {
    answer.body = at->second.received.substr(kPrefixBytes);
  }
  finished_.push_back({at->second.number, std::move(answer)});
  calls_.erase(at);
}

void Http2Client::finish_closed(std::map<int32_t, Call>::iterator at, uint32_t error) {
  Call& call = at->second;
  if (call.status > 0) return finish(at, Fate::answered, call.status, call.message);
  if (call.status == 0 && call.many) return finish(at, Fate::answered, 0, {});
  if (call.status == 0) {
    if (call.received.size() < kPrefixBytes || call.received[0] != 0) {
      return finish(at, Fate::lost, 0, "the server's answer is not an uncompressed gRPC message");
    }
    return finish(at, Fate::answered, 0, {});
  }
  // RFC 9113, section 8.7: a refused stream was not processed, a retry is safe.
  if (error == NGHTTP2_REFUSED_STREAM) {
    return finish(at, Fate::not_sent, 0, address_ + " refused the stream");
  }
  if (call.http_status != 0 && call.http_status != 200) {
    return finish(at, Fate::lost, 0,
                  address_ + " answered HTTP " + std::to_string(call.http_status) +
                      " instead of gRPC; is this a client port?");
  }
  finish(at, Fate::lost, 0,
         address_ + " ended the call without an answer (HTTP/2: " + nghttp2_http2_strerror(error) +
             ")");
}

uint64_t Http2Client::submit(std::string_view path, std::string_view request, Duration timeout) {
  Call call;
  call.path = path;
  call.deadline = Clock::now() + timeout;
  append_frame(request, call.request);
  return start(std::move(call), timeout);
}

uint64_t Http2Client::open(std::string_view path) {
  Call call;
  call.path = path;
  call.many = true;
  call.sends_more = true;
  return start(std::move(call), {});
}

uint64_t Http2Client::start(Call call, Duration timeout) {
  const uint64_t number = next_number_++;
  call.number = number;
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  const std::string timeout_text = std::to_string(milliseconds) + "m";
  const int32_t expected = static_cast<int32_t>(nghttp2_session_get_next_stream_id(session_));
  Call& kept = calls_.insert_or_assign(expected, std::move(call)).first->second;
  // Views: of the call where it stays, for a short path moves with its string.
  std::vector<nghttp2_nv> headers = {header(":method", "POST"),
                                     header(":scheme", channel_ == nullptr ? "http" : "https"),
                                     header(":path", kept.path),
                                     header(":authority", authority_),
                                     header("content-type", "application/grpc"),
                                     header("te", "trailers")};
  if (!kept.many) headers.push_back(header("grpc-timeout", timeout_text));
  if (!token_.empty()) headers.push_back(header("token", token_));
  nghttp2_data_provider provider{};
  provider.source.ptr = &kept;
  provider.read_callback = read_request;
  const int32_t stream = broken_ ? NGHTTP2_ERR_SESSION_CLOSING
                                 : nghttp2_submit_request(session_, nullptr, headers.data(),
                                                          headers.size(), &provider, nullptr);
  if (stream < 0) {
    finish(calls_.find(expected), Fate::not_sent, 0, "the connection to " + address_ + " is gone");
  } else {
    CHECK(stream == expected, "nghttp2 numbers streams in order");
  }
  return number;
}

std::map<int32_t, Call>::iterator Http2Client::find(uint64_t number) {
  return std::ranges::find_if(calls_,
                              [&](const auto& each) { return each.second.number == number; });
}

void Http2Client::send(uint64_t number, std::string_view message) {
  const auto at = find(number);
  if (at == calls_.end()) return;  // it ended; arrivals() says or said so
  append_frame(message, at->second.request);
  nghttp2_session_resume_data(session_, at->first);
}

void Http2Client::close_sending(uint64_t number) {
  const auto at = find(number);
  if (at == calls_.end()) return;
  at->second.sends_more = false;
  nghttp2_session_resume_data(session_, at->first);
}

void Http2Client::cancel(uint64_t number) {
  std::erase_if(arrivals_, [&](const Arrival& arrival) { return arrival.call == number; });
  const auto at = find(number);
  if (at == calls_.end()) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, at->first, NGHTTP2_CANCEL);
  calls_.erase(at);
  flush();
}

void Http2Client::break_off(const std::string& why) {
  broken_ = true;
  why_broken_ = why;
  const bool turned_away = channel_ != nullptr && channel_->turned_away();
  while (!calls_.empty()) {
    // A call whose body never left our buffers whole cannot have been processed, but bytes the
    // kernel took may have arrived: only an untouched one is surely not sent, and one that was
    // sent to a server which turned us away before it read on.
    const bool untouched = !calls_.begin()->second.begun || turned_away;
    const Fate fate = untouched ? Fate::not_sent : Fate::lost;
    finish(calls_.begin(), fate, 0, "connection to " + address_ + " " + why);
  }
}

void Http2Client::expire() {
  const auto now = Clock::now();
  for (auto at = calls_.begin(); at != calls_.end();) {
    auto next = std::next(at);
    if (at->second.deadline <= now) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, at->first, NGHTTP2_CANCEL);
      const Fate fate = !at->second.begun ? Fate::not_sent : Fate::lost;
      finish(at, fate, 0, "no answer from " + address_ + " in time");
    }
    at = next;
  }
}

bool Http2Client::flush() {
  while (true) {
    if (unsent_.size() < kReadBytes && (channel_ == nullptr || channel_->open())) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) break_off("failed in HTTP/2");
      if (size > 0) {
        const std::string_view bytes(reinterpret_cast<const char*>(data),
                                     static_cast<size_t>(size));
        if (channel_ == nullptr) {
          unsent_.append(bytes);
        } else {
          channel_->write(bytes, unsent_);
        }
        continue;
      }
    }
    if (unsent_.empty()) return true;
    const ssize_t written = ::send(descriptor_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      break_off(std::string("broke: ") + std::strerror(errno));
      return false;
    }
    unsent_.erase(0, static_cast<size_t>(written));
  }
}

bool Http2Client::take(std::string_view plain) {
  const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(plain.data()), plain.size());
  if (used < 0) break_off("carries something that is not HTTP/2; is this a client port?");
  return used >= 0;
}

void Http2Client::take_sealed(std::string_view sealed) {
  static thread_local std::string space(kReadBytes, '\0');
  const std::span<uint8_t> target(reinterpret_cast<uint8_t*>(space.data()), space.size());
  channel_->feed(sealed);
  while (const size_t got = channel_->read(target, unsent_)) {
    if (!take(std::string_view(space).substr(0, got))) return;
  }
  channel_->feed({});
  if (!channel_->problem().empty()) {
    break_off("cannot be secured: " + channel_->problem());
  } else if (channel_->ended()) {
    break_off("was closed by the server");
  }
}

Result<void> Http2Client::shake_hands(Clock::time_point deadline) {
  const auto refused = [this](const std::string& why) {
    const bool known = !channel_->problem().empty();
    return fail(ErrorKind::unavailable,
                "connection to " + address_ + " " + why + (known ? "" : "; is this a TLS port?"));
  };
  channel_->read({}, unsent_);
  while (!channel_->open()) {
    if (broken_ || !flush()) return refused(why_broken_);
    pollfd entry{descriptor_, static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    const int ready = ::poll(&entry, 1, milliseconds_until(deadline));
    if (ready > 0 && (entry.revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
    if (Clock::now() >= deadline) return refused("is not secured in time");
  }
  if (broken_) return refused(why_broken_);
  return {};
}

void Http2Client::receive() {
  static thread_local std::string space(kReadBytes, '\0');
  const ssize_t size = ::recv(descriptor_, space.data(), space.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (size <= 0) {
    return break_off(size == 0 ? std::string("was closed by the server")
                               : std::string("broke: ") + std::strerror(errno));
  }
  const auto bytes = std::string_view(space).substr(0, static_cast<size_t>(size));
  if (channel_ == nullptr) {
    take(bytes);
  } else {
    take_sealed(bytes);
  }
}

// Exchanges what is there with the server, waiting for it at most once. False: `end` has come, or
// one of `others` can be read.
bool Http2Client::turn(Clock::time_point end, std::span<const int> others) {
  if (!flush() || !finished_.empty() || !arrivals_.empty()) return true;
  auto soonest = end;
  for (const auto& [stream, call] : calls_) soonest = std::min(soonest, call.deadline);
  std::vector<pollfd> entries = {
      {descriptor_, static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT), 0}};
  for (const int each : others) entries.push_back({each, POLLIN, 0});
  const int ready = ::poll(entries.data(), entries.size(), milliseconds_until(soonest));
  if (ready > 0 && (entries[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
  const auto now = Clock::now();
  if (now >= soonest) expire();
  const bool other_ready =
      ready > 0 && std::any_of(entries.begin() + 1, entries.end(),
                               [](const pollfd& entry) { return entry.revents != 0; });
  return !other_ready && now < end;
}

std::vector<Finished> Http2Client::wait(Duration timeout) {
  const auto end = Clock::now() + timeout;
  while (finished_.empty() && !broken_ && turn(end, {})) {
  }
  if (!broken_) flush();  // acknowledgements and window updates
  return std::exchange(finished_, {});
}

std::vector<Arrival> Http2Client::arrivals(Duration timeout, std::span<const int> others) {
  const auto end = Clock::now() + timeout;
  while (arrivals_.empty() && !broken_ && turn(end, others)) {
  }
  if (!broken_) flush();
  return std::exchange(arrivals_, {});
}

Answer Http2Client::call(std::string_view path, std::string_view request, Duration timeout) {
  const uint64_t number = submit(path, request, timeout);
  const auto end = Clock::now() + timeout + std::chrono::seconds(1);
  while (Clock::now() < end) {
    for (Finished& done : wait(end - Clock::now())) {
      if (done.call == number) return std::move(done.answer);
    }
  }
  return {Fate::lost, 0, "no answer from " + address_ + " in time", {}};
}

Result<int> connect_one(const addrinfo& target, const std::string& address,
                        Clock::time_point deadline) {
  const int descriptor =
      ::socket(target.ai_family, target.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return fail(ErrorKind::io, std::string("no socket: ") + std::strerror(errno));
  int error = ::connect(descriptor, target.ai_addr, target.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd entry{descriptor, POLLOUT, 0};
    error = ETIMEDOUT;
    if (::poll(&entry, 1, milliseconds_until(deadline)) > 0) {
      socklen_t size = sizeof(error);
      ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  if (error != 0) {
    ::close(descriptor);
    return fail(ErrorKind::unavailable,
                "cannot connect to " + address + ": " + std::strerror(error));
  }
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return descriptor;
}

}  // namespace

Result<std::unique_ptr<Client>> connect(const std::string& address, Duration timeout,
                                        world::Security* security) {
  const bool secured = address.starts_with(kSecureScheme);
  const size_t begin = secured ? kSecureScheme.size() : 0;
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon < begin) {
    return fail(ErrorKind::invalid, "\"" + address + "\" is not host:port");
  }
  if (secured && security == nullptr) {
    return fail(ErrorKind::invalid, address + " has to be reached by TLS; give --cacert");
  }
  std::string host = address.substr(begin, colon - begin);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int outcome = ::getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (outcome != 0) {
    return fail(ErrorKind::unavailable,
                "cannot resolve " + address + ": " + ::gai_strerror(outcome));
  }
  const auto deadline = Clock::now() + timeout;
  Result<int> descriptor = fail(ErrorKind::unavailable, "no address for " + address);
  for (addrinfo* each = found; each != nullptr && !descriptor; each = each->ai_next) {
    descriptor = connect_one(*each, address, deadline);
  }
  ::freeaddrinfo(found);
  if (!descriptor) return std::unexpected(descriptor.error());
  auto client =
      std::make_unique<Http2Client>(*descriptor, address, secured ? security->dial(host) : nullptr);
  if (secured) {
    if (auto shaken = client->shake_hands(deadline); !shaken) {
      return std::unexpected(shaken.error());
    }
  }
  return client;
}

}  // namespace quorate::front::grpc
