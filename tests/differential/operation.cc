#include "operation.h"

#include <google/protobuf/text_format.h>

#include <array>
#include <charconv>

#include "etcd.pb.h"

namespace quorate::differential {

namespace {

using etcdserverpb::WatchRequest;

template <class Request, class Response>
Method method(std::string_view name) {
  return {name, &Request::default_instance(), &Response::default_instance()};
}

std::string cut_long_strings(const std::string& text, size_t bytes_max) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    result += text[at];
    if (text[at++] != '"') continue;
    const size_t begin = at;
    while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2U : 1U;
    const size_t size = std::min(at, text.size()) - begin;
    result += size <= bytes_max ? text.substr(begin, size)
                                : text.substr(begin, bytes_max / 2) + "...(" +
                                      std::to_string(size) + " characters)";
    if (at < text.size()) result += text[at++];
  }
  return result;
}

}  // namespace

std::span<const Method> methods() {
  using namespace etcdserverpb;
  static const std::array all = {
      method<RangeRequest, RangeResponse>("KV/Range"),
      method<PutRequest, PutResponse>("KV/Put"),
      method<DeleteRangeRequest, DeleteRangeResponse>("KV/DeleteRange"),
      method<TxnRequest, TxnResponse>("KV/Txn"),
      method<CompactionRequest, CompactionResponse>("KV/Compact"),
      method<LeaseGrantRequest, LeaseGrantResponse>("Lease/LeaseGrant"),
      method<LeaseRevokeRequest, LeaseRevokeResponse>("Lease/LeaseRevoke"),
      method<LeaseKeepAliveRequest, LeaseKeepAliveResponse>("Lease/LeaseKeepAlive"),
      method<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse>("Lease/LeaseTimeToLive"),
      method<LeaseLeasesRequest, LeaseLeasesResponse>("Lease/LeaseLeases"),
      method<HashRequest, HashResponse>("Maintenance/Hash"),
      method<HashKVRequest, HashKVResponse>("Maintenance/HashKV"),
      method<StatusRequest, StatusResponse>("Maintenance/Status"),
      method<AlarmRequest, AlarmResponse>("Maintenance/Alarm"),
  };
  return all;
}

const Method* find_method(std::string_view name) {
  for (const Method& each : methods()) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

const Method* method_of_path(std::string_view path) {
  for (const Method& each : methods()) {
    if (path_of(each.name) == path) return &each;
  }
  return nullptr;
}

std::string path_of(std::string_view name) { return "/etcdserverpb." + std::string(name); }

Operation make_call(std::string_view name, std::shared_ptr<const Message> request) {
  Operation operation;
  operation.name = name;
  operation.request = std::move(request);
  return operation;
}

std::string to_text(const Message& message, size_t bytes_max) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(message, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return bytes_max == SIZE_MAX ? text : cut_long_strings(text, bytes_max);
}

std::string to_text(const Operation& operation, size_t bytes_max) {
  switch (operation.kind) {
    case Kind::call:
      return operation.name + " " + to_text(*operation.request, bytes_max);
    case Kind::raw: {
      // A message with one string carries the bytes through the text form.
      etcdserverpb::PutRequest carrier;
      carrier.set_key(operation.bytes);
      return "raw " + operation.name + " " + to_text(carrier, bytes_max);
    }
    case Kind::watch:
      return "watch " + std::to_string(operation.stream) + " " +
             to_text(*operation.request, bytes_max);
    case Kind::expire:
      return "expire";
    case Kind::lose_leader:
      return "lose-leader";
  }
  return "";
}

std::optional<Operation> read_operation(std::string_view line) {
  const auto word = [&line] {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string found(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
    return found;
  };
  Operation operation;
  const std::string first = word();
  std::shared_ptr<Message> request;
  if (first == "expire" || first == "lose-leader") {
    operation.kind = first == "expire" ? Kind::expire : Kind::lose_leader;
    return operation;
  }
  if (first == "raw") {
    operation.kind = Kind::raw;
    operation.name = word();
    etcdserverpb::PutRequest carrier;
    if (!google::protobuf::TextFormat::ParseFromString(std::string(line), &carrier)) return {};
    operation.bytes = carrier.key();
    return operation;
  }
  if (first == "watch") {
    operation.kind = Kind::watch;
    const std::string number = word();
    std::from_chars(number.data(), number.data() + number.size(), operation.stream);
    request = std::make_shared<WatchRequest>();
  } else if (const Method* found = find_method(first)) {
    operation.name = first;
    request.reset(found->request->New());
  } else {
    return std::nullopt;
  }
  if (!google::protobuf::TextFormat::ParseFromString(std::string(line), request.get())) return {};
  operation.request = std::move(request);
  return operation;
}

}  // namespace quorate::differential
