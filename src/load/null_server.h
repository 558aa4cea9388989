// load/null_server.h: a server that does nothing, to learn how fast the load tool itself is.
//
// Every call of every path is answered with the same message and the same grpc-status. One
// thread, cleartext HTTP/2.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace quorate::load {

struct NullAnswer {
  size_t bytes = 300;        // of the one message
  unsigned status = 0;       // grpc-status
  std::string text;          // grpc-message
  unsigned fail_one_in = 1;  // with a status: so often; the others are fine
};

class NullServer {
 public:
  // Port 0: any that is free.
  static Result<std::unique_ptr<NullServer>> listen(uint16_t port, const NullAnswer& answer);
  virtual ~NullServer() = default;
  virtual uint16_t port() const = 0;
  virtual uint64_t answered() const = 0;
  virtual void turn(Duration patience) = 0;
  // Closes every connection at once, as a server that dies does. For tests.
  virtual void drop_connections() = 0;
};

}  // namespace quorate::load
