#include "front/grpc/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "front/grpc/known_fields.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

// Events within the second that began with the first of them.
class RateGuard {
 public:
  explicit RateGuard(uint32_t per_second_max) : per_second_max_(per_second_max) {}
  bool exceeded(Time now) {
    if (now - start_ >= std::chrono::seconds(1)) {
      start_ = now;
      count_ = 0;
    }
    return ++count_ > per_second_max_;
  }

 private:
  uint32_t per_second_max_;
  uint32_t count_ = 0;
  Time start_;
};

nghttp2_nv header(std::string_view name, std::string_view value, bool value_lives = true) {
  // nghttp2 takes pointers to non-const but only reads.
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
  if (value_lives) flags |= NGHTTP2_NV_FLAG_NO_COPY_VALUE;
  return {name_bytes, value_bytes, name.size(), value.size(), flags};
}

class Http2Session final : public Session {
 public:
  explicit Http2Session(Connection& connection);
  ~Http2Session() override { nghttp2_session_del(session_); }
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  bool feed(std::string_view input) override;
  void fill(Output& output) override;
  bool finished() const override {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  }
  void respond(Call& call) override;
  void drain() override;
  Time deadline() const override { return kNever; }
  bool on_input_end() override { return false; }

 private:
  // nghttp2's callbacks; the last argument is always this object.
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value, uint8_t flags, void* self);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int on_chunk(nghttp2_session*, uint8_t flags, int32_t stream, const uint8_t* data,
                      size_t size, void* self);
  static int on_close(nghttp2_session*, int32_t stream, uint32_t error, void* self);
  static int on_sent(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static ssize_t on_read(nghttp2_session*, int32_t stream, uint8_t* target, size_t size,
                         uint32_t* flags, nghttp2_data_source* source, void* self);
  static ssize_t on_frame_size(nghttp2_session*, uint8_t type, int32_t stream, int32_t window,
                               int32_t stream_window, uint32_t frame_bytes_max, void* self);
  static int on_send_data(nghttp2_session*, nghttp2_frame* frame, const uint8_t* frame_header,
                          size_t size, nghttp2_data_source* source, void* self);
  static nghttp2_session_callbacks* callbacks();

  // Most questions are about the request that is arriving; the library's table is a cold one.
  Call* find(int32_t stream) const {
    if (arriving_ != nullptr && arriving_->stream == stream) return arriving_;
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session_, stream));
  }
  void forget(Call& call) {
    nghttp2_session_set_stream_user_data(session_, call.stream, nullptr);
    if (arriving_ == &call) arriving_ = nullptr;
    server_.forget_call(call);
  }
  void on_request(Call& call, bool ends);
  void submit_trailers_only(Call& call);
  void submit_page(Call& call);
  int submit_trailers(Call& call);
  void limit_exceeded() { nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM); }

  Connection& connection_;
  Server& server_;
  nghttp2_session* session_ = nullptr;
  Output* output_ = nullptr;  // where send_data appends, while filling
  size_t output_enough_ = 0;  // its size at which filling ends
  RateGuard resets_{kResetsPerSecondMax};
  RateGuard control_frames_{kControlFramesPerSecondMax};
  Call* arriving_ = nullptr;  // the newest request, while its stream is open
  KnownFields known_;
};

nghttp2_session_callbacks* Http2Session::callbacks() {
  // One table for all sessions, never changed after it is made.
  static nghttp2_session_callbacks* const table = [] {
    nghttp2_session_callbacks* made = nullptr;
    CHECK(nghttp2_session_callbacks_new(&made) == 0, "out of memory at start");
    nghttp2_session_callbacks_set_on_begin_headers_callback(made, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(made, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(made, on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(made, on_sent);
    nghttp2_session_callbacks_set_send_data_callback(made, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(made, on_frame_size);
    return made;
  }();
  return table;
}

Http2Session::Http2Session(Connection& connection)
    : connection_(connection), server_(connection.server()) {
  nghttp2_option* option = nullptr;
  CHECK(nghttp2_option_new(&option) == 0, "out of memory");
  nghttp2_option_set_no_closed_streams(option, 1);
  // RequestFields checks them instead.
  nghttp2_option_set_no_http_messaging(option, 1);
  nghttp2_option_set_max_outbound_ack(option, kUnsentAcknowledgementsMax);
  // Our own guard counts resets, and names the reason; the library's must stay behind it.
  nghttp2_option_set_stream_reset_rate_limit(option, uint64_t{4} * kResetsPerSecondMax,
                                             uint64_t{4} * kResetsPerSecondMax);
  const int made = nghttp2_session_server_new2(&session_, callbacks(), this, option);
  nghttp2_option_del(option);
  CHECK(made == 0, "out of memory");
  const std::array<nghttp2_settings_entry, 3> settings = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kHeaderListBytesMax}}};
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0,
        "these settings are valid");
  CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              kConnectionWindowBytes) == 0,
        "this window is valid");
}

bool Http2Session::feed(std::string_view input) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(input.data());
  // Negative: the client broke the protocol beyond what a GOAWAY could tell it.
  return nghttp2_session_mem_recv(session_, bytes, input.size()) >= 0;
}

void Http2Session::fill(Output& output) {
  output_ = &output;
  output_enough_ = output.size() + kOutputBytesMax;
  while (output.size() < output_enough_) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) break;
    output.append({reinterpret_cast<const char*>(data), static_cast<size_t>(size)});
  }
  output_ = nullptr;
}

void Http2Session::drain() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

int Http2Session::on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame,
                                   void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  Call& call = me.server_.calls().acquire(me.connection_);
  me.connection_.adopt(call);
  call.stream = frame->hd.stream_id;
  nghttp2_session_set_stream_user_data(session, call.stream, &call);
  me.arriving_ = &call;
  me.known_.begin();
  return 0;
}

int Http2Session::on_header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                            nghttp2_rcbuf* value, uint8_t, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  Call* call = me.find(frame->hd.stream_id);
  if (call == nullptr || call->headers_done) return 0;
  me.known_.take(*call, name, value, me.server_.options().access.checks_hosts());
  return 0;
}

int Http2Session::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      if (Call* call = me.find(frame->hd.stream_id); call != nullptr) me.on_request(*call, ends);
      break;
    case NGHTTP2_DATA:
      if (Call* call = me.find(frame->hd.stream_id); call != nullptr && ends) {
        me.server_.on_half_close(*call);
      }
      if (frame->hd.length == 0 && !ends && me.control_frames_.exceeded(me.server_.now())) {
        me.limit_exceeded();
      }
      break;
    case NGHTTP2_RST_STREAM:
      if (me.resets_.exceeded(me.server_.now())) me.limit_exceeded();
      break;
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
      if (me.control_frames_.exceeded(me.server_.now())) me.limit_exceeded();
      break;
    default:
      break;
  }
  return 0;
}

void Http2Session::on_request(Call& call, bool ends) {
  if (!call.headers_done) {
    known_.end(call, server_.options().access.checks_hosts());
    // Of too many fields the last went unseen; that has an answer of its own.
    const bool whole =
        call.header_fields <= kHeaderFieldsMax && call.header_bytes <= kHeaderListBytesMax;
    if (whole && !call.fields.well_formed()) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_PROTOCOL_ERROR);
      forget(call);
      return;
    }
    const bool page = !call.grpc_content && (call.http_method == HttpMethod::get ||
                                             call.http_method == HttpMethod::head ||
                                             call.http_method == HttpMethod::options);
    if (page) {
      call.remote_closed = ends;
      server_.on_page(call);
      return;
    }
    const bool post = !call.grpc_content && call.http_method == HttpMethod::post;
    if (!post || !server_.on_post(call)) server_.on_headers(call);
  }
  if (ends) server_.on_half_close(call);
}

int Http2Session::on_chunk(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data,
                           size_t size, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  Call* call = me.find(stream);
  if (call == nullptr) return 0;
  me.server_.on_data(*call, {reinterpret_cast<const char*>(data), size});
  return 0;
}

int Http2Session::on_close(nghttp2_session*, int32_t stream, uint32_t, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  if (Call* call = me.find(stream); call != nullptr) me.forget(*call);
  return 0;
}

int Http2Session::on_sent(nghttp2_session* session, const nghttp2_frame* frame, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  const Call* call = me.find(frame->hd.stream_id);
  if (call == nullptr || call->remote_closed) return 0;
  // Answered before the request was complete: tell the client to stop sending (RFC 9113 8.1).
  nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return 0;
}

void Http2Session::respond(Call& call) {
  if (call.submitted) {
    if (call.deferred) {
      call.deferred = false;
      nghttp2_session_resume_data(session_, call.stream);
    }
    return;
  }
  call.submitted = true;
  if (call.page) {
    submit_page(call);
    return;
  }
  if (call.finished && call.unsent() == 0) {
    submit_trailers_only(call);
    return;
  }
  const std::array<nghttp2_nv, 2> headers = {header(":status", "200"),
                                             header("content-type", "application/grpc")};
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = on_read;
  nghttp2_submit_response(session_, call.stream, headers.data(), headers.size(), &provider);
}

void Http2Session::submit_trailers_only(Call& call) {
  const std::string text = percent_encode(call.status.text);
  const std::string http_status = std::to_string(call.http_status);
  std::array<nghttp2_nv, 5> headers = {header(":status", http_status, false),
                                       header("content-type", "application/grpc"),
                                       header("grpc-status", code_number(call.status.code))};
  size_t count = 3;
  if (!text.empty()) headers.at(count++) = header("grpc-message", text, false);
  if (call.status.code == Code::unimplemented && !call.metadata.encoding.empty()) {
    headers.at(count++) = header("grpc-accept-encoding", "identity");
  }
  nghttp2_submit_response(session_, call.stream, headers.data(), count, nullptr);
}

void Http2Session::submit_page(Call& call) {
  const std::string size = std::to_string(call.unsent());
  const std::string http_status = std::to_string(call.http_status);
  const auto origin = server_.options().access.allowed_origin(call.origin);
  std::array<nghttp2_nv, 6> headers = {header(":status", http_status, false)};
  size_t count = 1;
  if (!call.page_type.empty()) {
    headers.at(count++) = header("content-type", call.page_type, false);
  }
  if (!call.streamed) headers.at(count++) = header("content-length", size, false);
  if (!origin.empty()) {
    headers.at(count++) = header("access-control-allow-headers", kAllowedHeaders);
    headers.at(count++) = header("access-control-allow-methods", kAllowedMethods);
    headers.at(count++) = header("access-control-allow-origin", origin, false);
  }
  if (call.http_method == HttpMethod::head) {
    nghttp2_submit_response(session_, call.stream, headers.data(), count, nullptr);
    return;
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = on_read;
  nghttp2_submit_response(session_, call.stream, headers.data(), count, &provider);
}

int Http2Session::submit_trailers(Call& call) {
  const std::string text = percent_encode(call.status.text);
  const std::array<nghttp2_nv, 2> trailers = {header("grpc-status", code_number(call.status.code)),
                                              header("grpc-message", text, false)};
  return nghttp2_submit_trailer(session_, call.stream, trailers.data(), text.empty() ? 1 : 2);
}

// NOLINTNEXTLINE(readability-function-size): the signature is the library's.
ssize_t Http2Session::on_read(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                              nghttp2_data_source* source, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  auto& call = *static_cast<Call*>(source->ptr);
  const size_t unsent = call.unsent();
  if (unsent == 0 && !call.finished) {
    call.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const size_t taken = std::min(size, unsent);
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (taken == unsent && call.finished) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!call.page) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      if (me.submit_trailers(call) != 0) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
  }
  return static_cast<ssize_t>(taken);
}

// The library keeps it within both windows.
// NOLINTNEXTLINE(readability-function-size): the signature is the library's.
ssize_t Http2Session::on_frame_size(nghttp2_session*, uint8_t, int32_t, int32_t, int32_t,
                                    uint32_t frame_bytes_max, void*) {
  return static_cast<ssize_t>(std::min<size_t>(frame_bytes_max, kFrameBytesMax));
}

int Http2Session::on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header,
                               size_t size, nghttp2_data_source* source, void* self) {
  auto& me = *static_cast<Http2Session*>(self);
  auto& call = *static_cast<Call*>(source->ptr);
  constexpr size_t kFrameHeaderBytes = 9;
  me.output_->append({reinterpret_cast<const char*>(frame_header), kFrameHeaderBytes});
  call.take_output(size, *me.output_);
  me.connection_.count_sent(size);
  const bool drained = call.unsent() == 0 && !call.finished;
  if (drained && call.method != nullptr && call.method->stream != nullptr) {
    call.method->stream->on_writable(call.id);
  }
  // Otherwise the library goes on with frames of data as long as there are any.
  return me.output_->size() < me.output_enough_ ? 0 : NGHTTP2_ERR_PAUSE;
}

}  // namespace

std::unique_ptr<Session> make_http2_session(Connection& connection) {
  return std::make_unique<Http2Session>(connection);
}

}  // namespace quorate::front::grpc
