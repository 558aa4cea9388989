// Header fields through a real encoder and decoder of HPACK, one session for many requests: what
// is recognised must make of a call what each field by itself makes of it.
#include "front/grpc/known_fields.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "front/grpc/test_client.h"

namespace quorate::front::grpc {
namespace {

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const auto [bytes, size] = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes), size};
}

class Wire {
 public:
  Wire() {
    nghttp2_session_callbacks* table = nullptr;
    nghttp2_session_callbacks_new(&table);
    nghttp2_session_client_new(&client_, table, this);
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin);
    nghttp2_session_callbacks_set_on_header_callback2(table, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame);
    nghttp2_option* option = nullptr;
    nghttp2_option_new(&option);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_server_new2(&server_, table, this, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(table);
    nghttp2_submit_settings(client_, NGHTTP2_FLAG_NONE, nullptr, 0);
    nghttp2_submit_settings(server_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Wire() {
    nghttp2_session_del(client_);
    nghttp2_session_del(server_);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Both calls as the request left them, in `recognised` and `plain`.
  void request(const Headers& headers) {
    recognised.reset();
    plain.reset();
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : headers) {
      fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(),
                        static_cast<uint8_t>(name == "token" ? NGHTTP2_NV_FLAG_NO_INDEX
                                                             : NGHTTP2_NV_FLAG_NONE)});
    }
    ASSERT_GT(nghttp2_submit_request(client_, nullptr, fields.data(), fields.size(), nullptr, this),
              0);
    const int before = requests;
    const uint8_t* bytes = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(client_, &bytes)) > 0;) {
      ASSERT_EQ(nghttp2_session_mem_recv(server_, bytes, static_cast<size_t>(size)), size);
    }
    ASSERT_EQ(requests, before + 1);
  }

  Call recognised;
  Call plain;
  int requests = 0;
  bool keeps_host = false;

 private:
  static int on_begin(nghttp2_session*, const nghttp2_frame*, void* self) {
    static_cast<Wire*>(self)->known_.begin();
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf* name,
                       nghttp2_rcbuf* value, uint8_t, void* self) {
    auto& me = *static_cast<Wire*>(self);
    me.known_.take(me.recognised, name, value, me.keeps_host);
    take_field(me.plain, text_of(name), text_of(value), me.keeps_host);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    auto& me = *static_cast<Wire*>(self);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    me.known_.end(me.recognised, me.keeps_host);
    ++me.requests;
    return 0;
  }

  nghttp2_session* client_ = nullptr;
  nghttp2_session* server_ = nullptr;
  KnownFields known_;
};

void expect_same(const Call& left, const Call& right) {
  EXPECT_EQ(left.http_method, right.http_method);
  EXPECT_EQ(left.grpc_content, right.grpc_content);
  EXPECT_EQ(left.header_fields, right.header_fields);
  EXPECT_EQ(left.header_bytes, right.header_bytes);
  EXPECT_EQ(left.fields.well_formed(), right.fields.well_formed());
  EXPECT_EQ(left.path, right.path);
  EXPECT_EQ(left.content_type, right.content_type);
  EXPECT_EQ(left.timeout_malformed, right.timeout_malformed);
  EXPECT_EQ(left.deadline, right.deadline);
  EXPECT_EQ(left.metadata.token, right.metadata.token);
  EXPECT_EQ(left.metadata.version, right.metadata.version);
  EXPECT_EQ(left.metadata.encoding, right.metadata.encoding);
  EXPECT_EQ(left.metadata.needs_leader, right.metadata.needs_leader);
  EXPECT_EQ(left.host, right.host);
  EXPECT_EQ(left.origin, right.origin);
}

TEST(KnownFields, ACallIsWhatItsOwnFieldsSay) {
  Wire wire;
  const auto ask = [&](std::string_view path, const Headers& more) {
    wire.request(TestClient::grpc_headers(path, more));
    expect_same(wire.recognised, wire.plain);
    EXPECT_EQ(wire.recognised.path, path);
    EXPECT_TRUE(wire.recognised.fields.well_formed());
  };
  for (int round = 0; round < 3; ++round) ask("/a/Put", {});
  for (int round = 0; round < 30; ++round) {
    ask("/a/Put", {{"grpc-timeout", std::to_string(round) + "S"}});
    EXPECT_EQ(wire.recognised.deadline, Time(std::chrono::seconds(round)));
  }
  for (int round = 0; round < 30; ++round) ask("/a/Range", {});  // learned anew on the way
  for (int round = 0; round < 30; ++round) ask(round % 2 == 0 ? "/a/Put" : "/a/Range", {});
  ask("/a/Put", {{"token", "secret"}});
  EXPECT_EQ(wire.recognised.metadata.token, "secret");
  ask("/a/Put", {});
  EXPECT_EQ(wire.recognised.metadata.token, "");
}

TEST(KnownFields, WhateverComesInWhateverOrder) {
  const std::vector<std::pair<std::string, std::string>> pool = {
      {":method", "POST"},
      {":method", "GET"},
      {":scheme", "http"},
      {":path", "/a/Put"},
      {":path", "/a/Range"},
      {":authority", "a.example"},
      {"te", "trailers"},
      {"te", "gzip"},
      {"content-type", "application/grpc"},
      {"user-agent", "x"},
      {"content-type", "a/b"},
      {"grpc-timeout", "1S"},
      {"token", "one"},
      {"grpc-timeout", "soon"},
      {"hasleader", "true"},
      {"origin", "b.test"},
      {"grpc-encoding", "gzip"},
      {"client-api-version", "3.4.1"},
      {"bad name", "x"},
      {"grpc-metadata-token", "two"}};
  std::mt19937 random(7);  // NOLINT: the same in every run
  for (int session = 0; session < 40; ++session) {
    Wire wire;
    wire.keeps_host = session % 2 == 1;
    // Few kinds of requests, so that they come again; each with something of its own at times.
    std::vector<Headers> kinds;
    for (int kind = 0; kind < 3; ++kind) {
      Headers headers;
      const size_t count = random() % 24;
      for (size_t field = 0; field < count; ++field)
        headers.push_back(pool[random() % pool.size()]);
      kinds.push_back(std::move(headers));
    }
    size_t current = 0;
    for (int request = 0; request < 60; ++request) {
      if (random() % 8 == 0) current = random() % kinds.size();
      Headers headers = kinds[current];
      if (random() % 6 == 0) headers.push_back(pool[random() % pool.size()]);
      if (random() % 6 == 0) headers.emplace_back("x-long", std::string(random() % 2000, 'x'));
      wire.request(headers);
      expect_same(wire.recognised, wire.plain);
    }
  }
}

}  // namespace
}  // namespace quorate::front::grpc
