// world/secure.h: a secured connection as a translation of bytes, for rooms that own sockets.
//
// A channel knows no socket: its owner feeds what arrived and sends what the channel gives back,
// so nothing here blocks, and a connection that is plain simply has no channel. The real one is
// world/tls/. Whatever is wrong ends a channel once, with a sentence; it never falls back to plain.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quorate::world {

class SecureChannel {
 public:
  virtual ~SecureChannel() = default;
  // Bytes of the socket. They must stay where they are until read() has returned 0.
  virtual void feed(std::string_view sealed) = 0;
  // Plain bytes that have arrived, at most as many as `plain` holds; 0: no more for now. Takes the
  // handshake on as well, also with an empty `plain`. Appends to `sealed` what is to be sent.
  virtual size_t read(std::span<uint8_t> plain, std::string& sealed) = 0;
  // Only while open(). What it appends is a few bytes a record longer than what it was given.
  virtual void write(std::string_view plain, std::string& sealed) = 0;
  // Says that nothing more will be written; what the other side says can still be read.
  virtual void finish(std::string& sealed) = 0;

  // The handshake is over, and the other side is whom it should be.
  virtual bool open() const = 0;
  // The other side has said that it will write no more.
  virtual bool ended() const = 0;
  // Why this channel is of no use any more, about the other side ("its certificate ..."); empty
  // while all is well.
  virtual const std::string& problem() const = 0;
  // The other side has ended the channel before it took anything that was written.
  virtual bool turned_away() const = 0;
  // Of the other side's certificate, if it was demanded, is valid, and names whoever shows it.
  virtual std::string_view common_name() const = 0;
};

// How this process secures one kind of connection; outlives the channels' owners.
class Security {
 public:
  virtual ~Security() = default;
  virtual std::unique_ptr<SecureChannel> accept() = 0;
  // `host`: a name or an address, which the certificate of the other side must be for.
  virtual std::unique_ptr<SecureChannel> dial(const std::string& host) = 0;
};

}  // namespace quorate::world
