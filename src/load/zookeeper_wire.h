// load/zookeeper_wire.h: the few messages of ZooKeeper's client protocol that a load needs.
//
// Its encoding is called jute: numbers are big-endian, strings and buffers have four bytes of
// length in front, and so has each message. Replies of a session come in the order of its
// requests. What comes from the server is hostile until read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace quorate::load::zookeeper {

// A reply larger than this is nobody's: nodes hold at most a megabyte (jute.maxbuffer).
inline constexpr size_t kFrameBytesMax = size_t{4} << 20U;
inline constexpr size_t kStatBytes = 68;  // what is said about a node besides its data

// ---- Requests, appended as whole frames. `number` comes back in the reply.
void append_connect(std::string& output, Duration session_timeout);
void append_create(std::string& output, int32_t number, std::string_view path,
                   std::string_view data);  // anybody may do anything with it
void append_get(std::string& output, int32_t number, std::string_view path);
void append_set(std::string& output, int32_t number, std::string_view path, std::string_view data);

// ---- Replies.
enum class Cut : uint8_t { whole, partial, malformed };
// Takes the first frame off `input`.
Cut take_frame(std::string_view& input, std::string_view& frame);

// Of the answer to append_connect(): the server has made a session.
bool grants_session(std::string_view frame);

struct Reply {
  int32_t number = 0;
  int32_t error = 0;  // 0: done
  std::string_view body;
};
std::optional<Reply> read_reply(std::string_view frame);
// The data in the body of a get's reply; its Stat must follow.
std::optional<std::string_view> read_data(std::string_view body);

inline constexpr int32_t kNodeExists = -110;
std::string error_text(int32_t error);  // "NoNode (-101)"

}  // namespace quorate::load::zookeeper
