#include "machine/etcd/envelope.h"

#include "base/codec.h"

namespace quorate::machine::etcd {

namespace {

MemberAttributes read_attributes(Decoder& decoder) {
  MemberAttributes result;
  result.id = decoder.u64();
  result.name = decoder.string();
  const uint64_t count = decoder.varint();
  if (count > kClientUrlsMax) decoder.fail();
  for (uint64_t i = 0; i < count && decoder.ok(); ++i) {
    result.client_urls.emplace_back(decoder.string());
  }
  return result;
}

constexpr uint8_t kSystemFlag = 1;

bool is_command(uint8_t kind) {
  return (kind >= static_cast<uint8_t>(CommandKind::put) &&
          kind <= static_cast<uint8_t>(CommandKind::alarm)) ||
         kind == static_cast<uint8_t>(CommandKind::auth);
}

}  // namespace

Bytes make_command(CommandKind kind, std::string_view request) {
  std::string text;
  text.reserve(request.size() + 2);
  text.push_back(static_cast<char>(kCommandFormat));
  text.push_back(static_cast<char>(kind));
  text.append(request);
  return Bytes::adopt(std::move(text));
}

Bytes make_command(CommandKind kind, std::string_view request, const Caller& caller) {
  if (caller.user.empty() && !caller.system) return make_command(kind, request);
  Encoder encoder;
  encoder.reserve(request.size() + caller.user.size() + 16);
  encoder.u8(kCommandOfCallerFormat);
  encoder.u8(static_cast<uint8_t>(kind));
  encoder.u8(caller.system ? kSystemFlag : 0);
  encoder.string(caller.user);
  encoder.u64(caller.auth_revision);
  encoder.raw(request);
  return encoder.take();
}

Bytes make_query(QueryKind kind, std::string_view request) {
  std::string text;
  text.reserve(request.size() + 1);
  text.push_back(static_cast<char>(kind));
  text.append(request);
  return Bytes::adopt(std::move(text));
}

std::optional<OpenedCommand> open_command(std::string_view command) {
  Decoder decoder(command);
  const uint8_t format = decoder.u8();
  const uint8_t kind = decoder.u8();
  if (!decoder.ok() || !is_command(kind)) return std::nullopt;
  OpenedCommand opened;
  opened.kind = static_cast<CommandKind>(kind);
  if (format == kCommandOfCallerFormat) {
    opened.caller.system = (decoder.u8() & kSystemFlag) != 0;
    opened.caller.user = decoder.string();
    opened.caller.auth_revision = decoder.u64();
  } else if (format != kCommandFormat) {
    return std::nullopt;
  }
  opened.request = decoder.raw(decoder.remaining());
  if (!decoder.finished()) return std::nullopt;
  return opened;
}

std::optional<OpenedQuery> open_query(std::string_view query) {
  if (query.empty()) return std::nullopt;
  const auto kind = static_cast<uint8_t>(query[0]);
  if (kind < static_cast<uint8_t>(QueryKind::range) ||
      kind > static_cast<uint8_t>(QueryKind::alarms)) {
    return std::nullopt;
  }
  return OpenedQuery{static_cast<QueryKind>(kind), query.substr(1)};
}

std::string encode_member_attributes(const MemberAttributes& attributes) {
  Encoder encoder;
  encoder.u64(attributes.id);
  encoder.string(attributes.name);
  encoder.varint(attributes.client_urls.size());
  for (const std::string& url : attributes.client_urls) encoder.string(url);
  return std::move(encoder.text());
}

std::optional<MemberAttributes> decode_member_attributes(std::string_view bytes) {
  Decoder decoder(bytes);
  MemberAttributes result = read_attributes(decoder);
  if (!decoder.finished()) return std::nullopt;
  return result;
}

std::string encode_member_attributes_list(const std::vector<MemberAttributes>& members) {
  Encoder encoder;
  for (const MemberAttributes& member : members) encoder.string(encode_member_attributes(member));
  return std::move(encoder.text());
}

std::vector<MemberAttributes> decode_member_attributes_list(std::string_view body) {
  std::vector<MemberAttributes> result;
  Decoder decoder(body);
  while (decoder.ok() && decoder.remaining() > 0) {
    std::optional<MemberAttributes> member = decode_member_attributes(decoder.string());
    if (!member) break;
    result.push_back(std::move(*member));
  }
  return result;
}

}  // namespace quorate::machine::etcd
