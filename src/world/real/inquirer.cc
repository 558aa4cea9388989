#include "world/real/inquirer.h"

#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "world/real/address.h"
#include "world/real/wire.h"

namespace quorate::world {

class Inquirer::Attempt final : public Poller::Handler,
                                public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(EventLoop& loop, Security* security, std::string address, Done done,
          std::function<void()> over)
      : loop_(loop),
        security_(security),
        address_(std::move(address)),
        done_(std::move(done)),
        over_(std::move(over)) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt() override { close(); }

  void begin();
  void abandon() {
    done_ = {};
    close();
  }
  void on_ready(bool readable, bool writable, bool broken) override;

 private:
  void look_up();
  void resolved(const Result<std::vector<SocketAddress>>& found);
  void connect_next();
  void send_question();
  void flush();
  void read();
  void take_sealed(std::string_view sealed);
  void parse();
  void end(Result<Bytes> outcome);
  void fail_with(const std::string& why) {
    end(fail(ErrorKind::unavailable, address_ + ": " + why));
  }
  void close();

  EventLoop& loop_;
  Security* security_;
  std::unique_ptr<SecureChannel> channel_;  // null: plain
  std::string output_;                      // on its way to the socket
  std::string question_ = encode_question();
  std::string address_;
  Done done_;
  std::function<void()> over_;
  std::vector<SocketAddress> targets_;
  size_t target_ = 0;
  std::string last_error_ = "no address";
  int descriptor_ = -1;
  bool asked_ = false;
  std::string received_;
  TimerId timer_ = 0;
};

void Inquirer::Attempt::begin() {
  timer_ = loop_.at(loop_.now() + kInquiryTimeout, [this] {
    timer_ = 0;
    fail_with("no answer in time");
  });
  if (is_secure(address_) && security_ == nullptr) {
    return fail_with("it has to be reached by TLS; give --peer-trusted-ca-file");
  }
  look_up();
}

void Inquirer::Attempt::look_up() {
  const Result<HostPort> parsed = parse_host_port(address_);
  if (!parsed.has_value() || is_numeric_host(parsed->host)) {
    return resolved(resolve(address_, false));
  }
  using Found = Result<std::vector<SocketAddress>>;
  auto found = std::make_shared<Found>(fail(ErrorKind::unavailable, "not looked up yet"));
  loop_.run_blocking(
      DiskLane::background, [found, address = address_] { *found = resolve(address, false); },
      [found, self = weak_from_this()] {
        if (const auto alive = self.lock(); alive != nullptr && alive->done_) {
          alive->resolved(*found);
        }
      });
}

void Inquirer::Attempt::resolved(const Result<std::vector<SocketAddress>>& found) {
  if (!found) return end(std::unexpected(found.error()));
  targets_ = *found;
  connect_next();
}

void Inquirer::Attempt::connect_next() {
  while (target_ < targets_.size()) {
    const SocketAddress& target = targets_[target_++];
    descriptor_ = ::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0) return fail_with(std::strerror(errno));
    const auto* generic = reinterpret_cast<const sockaddr*>(&target.storage);
    const int outcome = ::connect(descriptor_, generic, target.size);
    if (outcome == 0 || errno == EINPROGRESS) {
      if (loop_.watch(descriptor_, true, true, *this)) return;
      return fail_with("too many descriptors");
    }
    last_error_ = std::strerror(errno);
    ::close(descriptor_);
    descriptor_ = -1;
  }
  fail_with(last_error_);
}

void Inquirer::Attempt::on_ready(bool readable, bool writable, bool broken) {
  const std::shared_ptr<Attempt> alive = shared_from_this();
  if (!asked_) {
    if (writable || broken) send_question();
    return;
  }
  if (writable) flush();
  if (descriptor_ >= 0 && (readable || broken)) read();
}

void Inquirer::Attempt::flush() {
  while (!output_.empty()) {
    const ssize_t sent =
        ::send(descriptor_, output_.data(), output_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (sent < 0) return fail_with(std::strerror(errno));
    output_.erase(0, static_cast<size_t>(sent));
  }
  loop_.change(descriptor_, true, !output_.empty());
}

// The question leaves as soon as it is known who would read it.
void Inquirer::Attempt::take_sealed(std::string_view sealed) {
  char block[4096];
  const std::span<uint8_t> space(reinterpret_cast<uint8_t*>(block), sizeof block);
  channel_->feed(sealed);
  while (const size_t got = channel_->read(space, output_)) received_.append(block, got);
  channel_->feed({});
  if (channel_->open() && !question_.empty()) {
    channel_->write(std::exchange(question_, {}), output_);
  }
  flush();
  if (descriptor_ >= 0 && !channel_->problem().empty()) fail_with("TLS: " + channel_->problem());
}

void Inquirer::Attempt::send_question() {
  int code = 0;
  socklen_t size = sizeof code;
  ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &code, &size);
  if (code == 0) {
    asked_ = true;
    if (is_secure(address_)) {
      channel_ = security_->dial(parse_host_port(address_)->host);
      channel_->read({}, output_);  // the handshake begins
    } else {
      output_ = std::exchange(question_, {});
    }
    return flush();
  }
  last_error_ = std::strerror(code);
  loop_.forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
  connect_next();
}

void Inquirer::Attempt::read() {
  char block[4096];
  while (descriptor_ >= 0) {
    const ssize_t count = ::recv(descriptor_, block, sizeof block, MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (count < 0) return fail_with(std::strerror(errno));
    if (count == 0) return fail_with("it closed the connection without an answer");
    const std::string_view bytes(block, static_cast<size_t>(count));
    if (channel_ != nullptr) {
      take_sealed(bytes);
    } else {
      received_.append(bytes);
    }
    if (descriptor_ >= 0) parse();
  }
}

void Inquirer::Attempt::parse() {
  if (received_.size() < kIntroductionHeaderBytes) return;
  const auto* bytes = reinterpret_cast<const uint8_t*>(received_.data());
  const auto header = decode_introduction_header(
      std::span<const uint8_t, kIntroductionHeaderBytes>(bytes, kIntroductionHeaderBytes));
  if (!header) return fail_with(std::string(describe(header.error())));
  if (received_.size() < kIntroductionHeaderBytes + header->size) return;
  const std::string_view payload =
      std::string_view(received_).substr(kIntroductionHeaderBytes, header->size);
  if (crc32c(payload) != header->crc) return fail_with("its answer is damaged");
  end(Bytes(payload));
}

void Inquirer::Attempt::close() {
  loop_.cancel(timer_);
  timer_ = 0;
  if (descriptor_ < 0) return;
  loop_.forget(descriptor_);
  ::close(descriptor_);
  descriptor_ = -1;
}

void Inquirer::Attempt::end(Result<Bytes> outcome) {
  close();
  if (!done_) return;
  loop_.post([alive = shared_from_this(), outcome = std::move(outcome)] {
    if (!alive->done_) return;
    const Done done = std::exchange(alive->done_, {});
    alive->over_();
    done(outcome);
  });
}

Inquirer::~Inquirer() {
  for (const auto& attempt : attempts_) attempt->abandon();
}

void Inquirer::ask(const std::string& address, Done done) {
  // The attempt names itself when it is over; while it lasts the set keeps it.
  auto place = std::make_shared<std::weak_ptr<Attempt>>();
  auto attempt = std::make_shared<Attempt>(loop_, security_, address, std::move(done),
                                           [this, place] { attempts_.erase(place->lock()); });
  *place = attempt;
  attempts_.insert(attempt);
  attempt->begin();
}

}  // namespace quorate::world
