// front/grpc/client.h: a blocking gRPC client over HTTP/2, plain or secured: unary calls, streams.
//
// For the command line, the bulk loader and the bench: one connection, any number of calls under
// way. Every call ends in exactly one Answer, and the answer says what a caller who wants to
// retry a write must know: whether the request can have reached the server at all.
//
// A stream is a call with many messages each way. Whoever has one takes its messages soon: they
// are kept until then, and only the windows of HTTP/2 bound how many a server sends at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "world/secure.h"

namespace quorate::front::grpc {

enum class Fate : uint8_t {
  answered,  // `status` is the server's
  not_sent,  // surely not processed: nothing was sent, or the server refused the stream
  lost       // sent, no answer: the server may or may not have acted on it
};

struct Answer {
  Fate fate = Fate::lost;
  int status = 0;       // gRPC code; 0 is success
  std::string message;  // the server's text, or ours when there is no answer
  std::string body;     // one message, without its length prefix
};

struct Finished {
  uint64_t call = 0;
  Answer answer;
};

// One message of a stream, or its end.
struct Arrival {
  uint64_t call = 0;
  bool ended = false;
  std::string message;  // when not ended
  Answer answer;        // when ended; without a body
};

// More calls are queued inside the client; a server may allow fewer at a time.
inline constexpr size_t kAnswerBytesMax = size_t{512} << 20U;  // a reply beyond it is an error

class Client {
 public:
  virtual ~Client() = default;
  // Starts a call and returns its number; nothing is sent before wait() or call().
  virtual uint64_t submit(std::string_view path, std::string_view request, Duration timeout) = 0;
  // Sends and receives until at least one call has finished, or `timeout` has passed (then the
  // list is empty and the calls go on). When the connection breaks, all end as lost or not_sent.
  virtual std::vector<Finished> wait(Duration timeout) = 0;
  // One call alone. Must not be mixed with submitted calls under way.
  virtual Answer call(std::string_view path, std::string_view request, Duration timeout) = 0;
  // Opens a stream without a deadline. Messages leave in arrivals().
  virtual uint64_t open(std::string_view path) = 0;
  virtual void send(uint64_t call, std::string_view message) = 0;
  virtual void close_sending(uint64_t call) = 0;
  virtual void cancel(uint64_t call) = 0;  // nothing arrives of it from now on
  // Sends and receives until a stream has something, one of `others` (descriptors) can be read,
  // or `timeout` has passed. When the connection breaks, all streams end.
  virtual std::vector<Arrival> arrivals(Duration timeout, std::span<const int> others) = 0;
  // Every call from now on carries this token of the Auth service; empty: none.
  virtual void authorize(std::string token) = 0;
  virtual size_t under_way() const = 0;
  // False: connect anew for new calls. What is under way may still be answered here.
  virtual bool usable() const = 0;
};

// What an address that is to be reached by TLS begins with.
inline constexpr std::string_view kSecureScheme = "https://";

// address: host:port, or https://host:port, which needs `security`; that outlives the client. An
// error says why no connection could be made; nothing was sent then.
Result<std::unique_ptr<Client>> connect(const std::string& address, Duration timeout,
                                        world::Security* security = nullptr);

}  // namespace quorate::front::grpc
