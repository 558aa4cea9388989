#include "load/http2_connection.h"

#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "load/clock.h"
#include "load/dial.h"

namespace quorate::load {
namespace {

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 takes pointers to non-const but only reads, and everything here outlives the call.
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  return {name_bytes, value_bytes, name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// The length behind the five bytes before a message; the first one says that it is not compressed.
size_t message_size(std::string_view prefix) {
  size_t size = 0;
  for (size_t place = 1; place < kMessagePrefixBytes; ++place) {
    size = size << 8U | static_cast<uint8_t>(prefix[place]);
  }
  return size;
}

// Fills the message that has begun up to `size` bytes; false: there are not so many yet.
bool complete(std::string& input, size_t size, std::string_view& bytes) {
  const size_t taken = std::min(size - std::min(size, input.size()), bytes.size());
  input.append(bytes.substr(0, taken));
  bytes.remove_prefix(taken);
  return input.size() >= size;
}

}  // namespace

// nghttp2's callbacks; the last argument is always the connection.
struct SessionCallbacks {
  static Call* find(nghttp2_session* session, int32_t stream) {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is the library's.
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    const std::string_view field(reinterpret_cast<const char*>(name), name_size);
    const bool is_status = field == "grpc-status";
    if (!is_status && field != "grpc-message") return 0;
    Call* call = find(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (is_status) {
      call->status_came = true;
      call->outcome = outcome_of_status(text);
    } else {
      call->text = text;
    }
    return 0;
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is the library's.
  static int on_chunk(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                      size_t size, void* self) {
    Call* call = find(session, stream);
    if (call == nullptr) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (!static_cast<Connection*>(self)->take_data(*call, bytes)) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_PROTOCOL_ERROR);
    }
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t stream, uint32_t, void* self) {
    Call* call = find(session, stream);
    if (call == nullptr) return 0;
    nghttp2_session_set_stream_user_data(session, stream, nullptr);
    static_cast<Connection*>(self)->end(*call, call->outcome);
    return 0;
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is the library's.
  static ssize_t on_read(nghttp2_session*, int32_t, uint8_t* target, size_t size, uint32_t* flags,
                         nghttp2_data_source* source, void*) {
    auto& call = *static_cast<Call*>(source->ptr);
    const size_t taken = call.output.copy(reinterpret_cast<char*>(target), size, call.sent);
    call.sent += taken;
    if (!call.streams && call.sent == call.output.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (taken == 0 && call.streams) {
      call.deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(taken);
  }

  static nghttp2_session_callbacks* table() {
    // One for all sessions, never changed after it is made.
    static nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* fresh = nullptr;
      CHECK(nghttp2_session_callbacks_new(&fresh) == 0, "out of memory at start");
      nghttp2_session_callbacks_set_on_header_callback(fresh, on_header);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(fresh, on_chunk);
      nghttp2_session_callbacks_set_on_stream_close_callback(fresh, on_close);
      return fresh;
    }();
    return made;
  }

  static nghttp2_session* session(Connection& connection) {
    nghttp2_option* option = nullptr;
    CHECK(nghttp2_option_new(&option) == 0, "out of memory");
    // The rules of HTTP are the server's tests' to check; here they would cost time per header.
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session* fresh = nullptr;
    const int code = nghttp2_session_client_new2(&fresh, table(), &connection, option);
    nghttp2_option_del(option);
    CHECK(code == 0, "out of memory");
    const std::array<nghttp2_settings_entry, 3> settings = {
        {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
         {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrameBytesMax},
         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes}}};
    CHECK(nghttp2_submit_settings(fresh, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0,
          "these settings are valid");
    CHECK(nghttp2_session_set_local_window_size(fresh, NGHTTP2_FLAG_NONE, 0,
                                                kConnectionWindowBytes) == 0,
          "this window is valid");
    return fresh;
  }
};

Connection::~Connection() {
  if (session_ != nullptr) nghttp2_session_del(session_);
  if (socket_ >= 0) ::close(socket_);
}

const Endpoint& Connection::endpoint() const { return client_.endpoints_[endpoint_]; }

void Connection::dial() {
  socket_ = begin_connect(endpoint(), client_.last_problem_);
  if (socket_ < 0) {
    retry_at_ = clock_now() + kReconnectAfter;
    endpoint_ = (endpoint_ + 1) % client_.endpoints_.size();
    return;
  }
  state_ = State::connecting;
  --client_.closed_;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = this;
  wants_write_ = true;
  CHECK(::epoll_ctl(client_.poll_, EPOLL_CTL_ADD, socket_, &event) == 0, "a fresh descriptor");
}

void Connection::connected() {
  if (!endpoint().secured) return opened();
  state_ = State::securing;
  channel_ = client_.security_->dial(endpoint().host);
  channel_->read({}, output_);  // the first words are ours
  client_.mark(*this);
}

void Connection::opened() {
  state_ = State::open;
  ++client_.open_;
  session_ = SessionCallbacks::session(*this);
  client_.mark(*this);
}

void Connection::interest(bool writable) {
  if (wants_write_ == writable) return;
  wants_write_ = writable;
  epoll_event event{};
  event.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = this;
  CHECK(::epoll_ctl(client_.poll_, EPOLL_CTL_MOD, socket_, &event) == 0, "a watched descriptor");
}

void Connection::on_ready(bool readable, bool writable) {
  if (state_ == State::connecting) {
    int problem = 0;
    socklen_t size = sizeof(problem);
    ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) return lose(std::strerror(problem));
    if (!writable) return;
    connected();
  }
  if (state_ != State::closed && readable) read();
  if (state_ != State::closed && writable) client_.mark(*this);
}

void Connection::read() {
  const ssize_t count = ::recv(socket_, client_.read_buffer_.data(), kReadBytesMax, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) return lose(std::strerror(errno));
  if (count == 0) return lose("closed by the server");
  client_.read_at_ = clock_now();
  const std::string_view bytes(client_.read_buffer_.data(), static_cast<size_t>(count));
  if (channel_ == nullptr) {
    take(bytes);
  } else {
    unseal(bytes);
  }
}

// Takes the handshake on, and hands over what was sealed.
void Connection::unseal(std::string_view sealed) {
  std::string& plain = client_.plain_buffer_;
  const std::span<uint8_t> room(reinterpret_cast<uint8_t*>(plain.data()), plain.size());
  channel_->feed(sealed);
  client_.mark(*this);
  while (const size_t size = channel_->read(room, output_)) {
    if (state_ == State::securing) opened();
    take(std::string_view(plain).substr(0, size));
    if (state_ == State::closed) return;
  }
  if (!channel_->problem().empty()) return lose("cannot be secured: " + channel_->problem());
  if (channel_->ended()) return lose("closed by the server");
  if (state_ == State::securing && channel_->open()) opened();
}

void Connection::take(std::string_view plain) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(plain.data());
  const ssize_t taken = nghttp2_session_mem_recv(session_, bytes, plain.size());
  if (taken < 0) return lose(nghttp2_strerror(static_cast<int>(taken)));
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    return lose("ended by the server");
  }
  client_.mark(*this);
}

bool Connection::write_pending() {
  while (written_ < output_.size()) {
    const ssize_t count =
        ::send(socket_, output_.data() + written_, output_.size() - written_, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      interest(true);
      return false;
    }
    if (count < 0) {
      lose(std::strerror(errno));
      return false;
    }
    written_ += static_cast<size_t>(count);
  }
  output_.clear();
  written_ = 0;
  return true;
}

void Connection::flush() {
  if (state_ == State::closed || state_ == State::connecting) return;
  std::string& gathered = channel_ == nullptr ? output_ : client_.unsealed_;
  do {
    if (!write_pending()) return;
    while (state_ == State::open && gathered.size() < kWriteBytesMax) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) return lose(nghttp2_strerror(static_cast<int>(size)));
      if (size == 0) break;
      gathered.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    if (channel_ != nullptr && !gathered.empty()) {
      channel_->write(gathered, output_);
      gathered.clear();
    }
  } while (!output_.empty());
  interest(false);
  if (state_ != State::open) return;
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    lose("out of stream numbers");
  }
}

void Connection::submit(Call& call, std::string_view path) {
  adopt(call);
  const std::array<nghttp2_nv, 7> headers = {
      header(":method", "POST"),
      header(":scheme", channel_ == nullptr ? "http" : "https"),
      header(":path", path),
      header(":authority", endpoint().authority),
      header("content-type", "application/grpc"),
      header("te", "trailers"),
      header("token", client_.token_)};
  const size_t used = headers.size() - (client_.token_.empty() ? 1 : 0);
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = SessionCallbacks::on_read;
  client_.mark(*this);
  call.stream = nghttp2_submit_request(session_, nullptr, headers.data(), used, &provider, &call);
  // Numbers of streams run out after a billion calls: then this connection has had its time, and
  // this call is one that nobody heard of. Reported from the next flush, never from here.
  if (call.stream < 0) nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
}

void Connection::resume(Call& call) {
  if (!std::exchange(call.deferred, false)) return;
  nghttp2_session_resume_data(session_, call.stream);
  client_.mark(*this);
}

void Connection::adopt(Call& call) {
  call.connection = this;
  call.place = calls_.size();
  calls_.push_back(&call);
}

void Connection::forget(Call& call) {
  calls_[call.place] = calls_.back();
  calls_[call.place]->place = call.place;
  calls_.pop_back();
}

void Connection::end(Call& call, Outcome outcome) {
  forget(call);
  call.handler->on_end(call, outcome, call.text);
  client_.give_back(call);
}

void Connection::lose(const std::string& why) {
  client_.last_problem_ = endpoint().text + ": " + why;
  if (state_ == State::open) {
    --client_.open_;
    ++client_.lost_;
  }
  ++client_.closed_;
  state_ = State::closed;
  retry_at_ = clock_now() + kReconnectAfter;
  endpoint_ = (endpoint_ + 1) % client_.endpoints_.size();
  ::close(socket_);  // which also takes it out of the epoll
  socket_ = -1;
  if (session_ != nullptr) nghttp2_session_del(std::exchange(session_, nullptr));
  channel_.reset();
  output_.clear();
  written_ = 0;
  while (!calls_.empty()) {
    calls_.back()->text = client_.last_problem_;
    end(*calls_.back(), Outcome::connection_lost);
  }
}

// False: the message is larger than any honest one.
bool Connection::take_data(Call& call, std::string_view bytes) {
  call.answer_bytes += bytes.size();
  if (!call.keeps_messages) return true;
  // Of a message that came in pieces all but the last were kept; only such a one is copied.
  if (!call.input.empty()) {
    if (!complete(call.input, kMessagePrefixBytes, bytes)) return true;
    const size_t size = message_size(call.input);
    if (size > kMessageBytesMax) return false;
    if (!complete(call.input, kMessagePrefixBytes + size, bytes)) return true;
    call.handler->on_message(call, std::string_view(call.input).substr(kMessagePrefixBytes));
    call.input.clear();
  }
  while (bytes.size() >= kMessagePrefixBytes) {
    const size_t size = message_size(bytes);
    if (size > kMessageBytesMax) return false;
    if (bytes.size() - kMessagePrefixBytes < size) break;
    call.handler->on_message(call, bytes.substr(kMessagePrefixBytes, size));
    bytes.remove_prefix(kMessagePrefixBytes + size);
  }
  call.input = bytes;
  return true;
}

}  // namespace quorate::load
