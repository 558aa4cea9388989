// front/etcd/json_codec.h: JSON to protobuf and back, by the table of json_messages.h.
//
// The mapping is that of protobuf's own JSON form: bytes in base64, 64-bit integers as strings
// (read as numbers too), enumerations by name (read by number too), names as in the proto file
// (read in camelCase too), defaults left out, unknown fields skipped. Ambiguity is refused rather
// than resolved: a field given twice, two of a one-of, an unknown name of an enumeration. Read in
// one pass without building a tree, so that memory stays near the size of the body.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "front/etcd/json_messages.h"

namespace quorate::front::etcd {

// The deepest legal message is 64 nested transactions (machine/etcd/messages.h), each of them an
// object in a field of an object in a list, and a little around it.
inline constexpr size_t kJsonDepthMax = 200;

// What is wrong with `json`; nullopt: nothing, and `message` holds it. An empty body is a message
// without fields.
std::optional<std::string> json_to_message(MessageId id, std::string_view json,
                                           std::string& message);
// `message` is one of ours; a field that is not in the table is left out.
std::string message_to_json(MessageId id, std::string_view message);
void append_json_text(std::string_view text, std::string& out);  // quoted

}  // namespace quorate::front::etcd
