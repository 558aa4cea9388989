// front/grpc/request_fields.h: whether the header fields of an HTTP/2 request are well formed.
//
// The library's own check is off, for it holds :authority to the letters of RFC 3986, and clients
// of etcd put a whole URL there ("http://127.0.0.1:2379", what a member list holds), which gRPC
// servers take. So what RFC 9113 8.2 and 8.3 ask of a request is asked here; of :authority only
// that it holds no control characters.
#pragma once

#include <cstdint>
#include <string_view>

namespace quorate::front::grpc {

class RequestFields {
 public:
  // The next field, in the order of arrival.
  void take(std::string_view name, std::string_view value);
  // After the last: a method, a scheme and a path were there, and nothing was malformed.
  bool well_formed() const { return !malformed_ && (pseudo_ & kNeeded) == kNeeded; }

 private:
  enum Pseudo : uint8_t { kMethod = 1, kScheme = 2, kPath = 4, kAuthority = 8 };
  static constexpr uint8_t kNeeded = kMethod | kScheme | kPath;

  bool take_pseudo(std::string_view name, std::string_view value);

  uint8_t pseudo_ = 0;    // those seen
  bool regular_ = false;  // a field that is no pseudo field was seen
  bool malformed_ = false;
};

}  // namespace quorate::front::grpc
