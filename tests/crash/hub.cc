// crash_hub: a network of our own between network namespaces, with delay, loss and cuts.
//
// Makes one namespace for each place 1..N, with one tun interface 10.77.0.PLACE, and carries the
// packets between them itself. So nothing outside is touched, no kernel module beyond tun is
// needed, and all is gone when it ends (which it does when its standard input closes). Processes
// are put in place with `nsenter --net=PATH`.
//
// It prints `ready PATH1 PATH2 ...` and then answers each line of commands with `ok` or `wrong`:
//   cut A B          nothing arrives from A at B any more
//   join A B         it does again
//   link A B DELAY_MS JITTER_MS LOSS_PER_MILLE KBIT     KBIT 0: no limit
//   sent A B         `ok BYTES`: carried from A to B so far
// A limited link keeps a queue of kQueueBytesMax and drops what does not fit, like a router.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <queue>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"

namespace quorate::crash {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPlacesMax = 16;
constexpr size_t kPacketBytesMax = 65536;
constexpr size_t kDestinationOffset = 16;  // of an IPv4 header
constexpr size_t kQueueBytesMax = 256 << 10;
constexpr int kReadsPerTurnMax = 64;

struct Place {
  int tun = -1;
  std::string path;   // of its namespace
  std::string error;  // why there is none
};

struct Link {
  bool cut = false;
  Clock::duration delay{};
  Clock::duration jitter{};
  unsigned loss = 0;  // of 1000
  uint64_t kilobits = 0;
  Clock::time_point free_at{};  // when what was sent before has left
  uint64_t sent = 0;
};

struct Packet {
  Clock::time_point due;
  uint64_t number = 0;
  size_t to = 0;
  std::string bytes;
  bool operator>(const Packet& other) const {
    return due != other.due ? due > other.due : number > other.number;
  }
};

// ---- Places.

sockaddr ip_address(uint32_t host_order) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(host_order);
  sockaddr generic{};
  std::memcpy(&generic, &address, sizeof generic);
  return generic;
}

bool bring_up(int control, const char* name, std::string& error) {
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (::ioctl(control, SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
    if (::ioctl(control, SIOCSIFFLAGS, &request) == 0) return true;
  }
  error = std::string("cannot bring up ") + name + ": " + std::strerror(errno);
  return false;
}

bool set_address(int control, uint32_t number, std::string& error) {
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "crash0");
  request.ifr_addr = ip_address(0x0a4d0000U | number);
  if (::ioctl(control, SIOCSIFADDR, &request) == 0) {
    request.ifr_netmask = ip_address(0xffffff00U);
    if (::ioctl(control, SIOCSIFNETMASK, &request) == 0) return true;
  }
  error = std::string("cannot set an address: ") + std::strerror(errno);
  return false;
}

// In the calling thread, which lives in the new namespace from then on.
void make_place(Place& place, uint32_t number) {
  if (::unshare(CLONE_NEWNET) != 0) {
    place.error = std::string("cannot make a network namespace: ") + std::strerror(errno);
    return;
  }
  const int tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "crash0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (tun < 0 || ::ioctl(tun, TUNSETIFF, &request) != 0) {
    place.error = std::string("cannot make a tun interface: ") + std::strerror(errno);
    return;
  }
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool good = set_address(control, number, place.error) &&
                    bring_up(control, "crash0", place.error) &&
                    bring_up(control, "lo", place.error);
  ::close(control);
  if (!good) return;
  place.path = "/proc/" + std::to_string(::getpid()) + "/task/" +
               std::to_string(::syscall(SYS_gettid)) + "/ns/net";
  place.tun = tun;
}

std::vector<Place> make_places(size_t count) {
  std::vector<Place> places(count);
  std::mutex mutex;
  std::condition_variable made;
  size_t ready = 0;
  for (size_t number = 0; number < count; ++number) {
    // The thread stays: it holds the namespace, and the process ends by _exit.
    std::thread([&, number] {
      Place place;
      make_place(place, static_cast<uint32_t>(number + 1));
      {
        const std::lock_guard lock(mutex);
        places[number] = place;
        ++ready;
        made.notify_one();
      }
      while (true) ::pause();
    }).detach();
  }
  std::unique_lock lock(mutex);
  made.wait(lock, [&] { return ready == count; });
  return places;
}

// ---- Carrying packets.

class Hub {
 public:
  explicit Hub(std::vector<Place> places) : places_(std::move(places)), rng_(1) {}

  void run() {
    std::vector<pollfd> entries;
    entries.push_back({STDIN_FILENO, POLLIN, 0});
    for (const Place& place : places_) entries.push_back({place.tun, POLLIN, 0});
    while (true) {
      timespec patience{};
      const auto left = waiting_.empty() ? Clock::duration(std::chrono::seconds(1))
                                         : waiting_.top().due - Clock::now();
      if (left > Clock::duration::zero()) {
        const auto nanoseconds = std::chrono::nanoseconds(left).count();
        patience = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
      }
      ::ppoll(entries.data(), entries.size(), &patience, nullptr);
      if ((entries[0].revents & (POLLIN | POLLHUP)) != 0 && !read_commands()) return;
      for (size_t at = 0; at < places_.size(); ++at) {
        if ((entries[at + 1].revents & POLLIN) != 0) take_packets(at);
      }
      deliver();
    }
  }

 private:
  Link& link(size_t from, size_t to) { return links_[{from, to}]; }

  void take_packets(size_t from) {
    static char space[kPacketBytesMax];
    for (int count = 0; count < kReadsPerTurnMax; ++count) {
      const ssize_t size = ::read(places_[from].tun, space, sizeof space);
      if (size <= 0) return;
      if (size < 20 || (static_cast<unsigned char>(space[0]) >> 4U) != 4) continue;
      uint32_t destination = 0;
      std::memcpy(&destination, space + kDestinationOffset, sizeof destination);
      destination = ntohl(destination);
      const size_t to = (destination & 0xffU) - 1;
      if ((destination >> 8U) != 0x0a4d00U || to >= places_.size()) continue;
      forward(from, to, std::string(space, static_cast<size_t>(size)));
    }
  }

  void forward(size_t from, size_t to, std::string bytes) {
    Link& way = link(from, to);
    if (way.cut || rng_.below(1000) < way.loss) return;
    const auto now = Clock::now();
    auto leaves = now;
    if (way.kilobits > 0) {
      const auto busy = std::max(way.free_at, now) - now;
      const auto queued =
          static_cast<uint64_t>(
              std::chrono::milliseconds(std::chrono::duration_cast<std::chrono::milliseconds>(busy))
                  .count()) *
          way.kilobits / 8;
      if (queued > kQueueBytesMax) return;
      const std::chrono::microseconds takes(bytes.size() * 8 * 1000 / way.kilobits);
      way.free_at = std::max(way.free_at, now) + takes;
      leaves = way.free_at;
    }
    way.sent += bytes.size();
    auto due = leaves + way.delay;
    if (way.jitter > Clock::duration::zero()) {
      due += Clock::duration(rng_.below(static_cast<uint64_t>(way.jitter.count())));
    }
    waiting_.push({due, ++packets_, to, std::move(bytes)});
  }

  void deliver() {
    const auto now = Clock::now();
    while (!waiting_.empty() && waiting_.top().due <= now) {
      const Packet& packet = waiting_.top();
      // A full interface drops, as a network does.
      if (::write(places_[packet.to].tun, packet.bytes.data(), packet.bytes.size()) < 0) ++dropped_;
      waiting_.pop();
    }
  }

  bool read_commands() {
    char space[4096];
    const ssize_t size = ::read(STDIN_FILENO, space, sizeof space);
    if (size <= 0) return false;
    input_.append(space, static_cast<size_t>(size));
    for (size_t end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      std::printf("%s\n", obey(input_.substr(0, end)).c_str());
      input_.erase(0, end + 1);
    }
    std::fflush(stdout);
    return true;
  }

  std::string obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    size_t from = 0;
    size_t to = 0;
    words >> verb >> from >> to;
    if (!words || from < 1 || to < 1 || from > places_.size() || to > places_.size()) {
      return "wrong";
    }
    Link& way = link(from - 1, to - 1);
    if (verb == "cut" || verb == "join") {
      way.cut = verb == "cut";
    } else if (verb == "link") {
      int64_t delay = 0;
      int64_t jitter = 0;
      words >> delay >> jitter >> way.loss >> way.kilobits;
      if (!words) return "wrong";
      way.delay = std::chrono::milliseconds(delay);
      way.jitter = std::chrono::milliseconds(jitter);
    } else if (verb == "sent") {
      return "ok " + std::to_string(way.sent);
    } else {
      return "wrong";
    }
    return "ok";
  }

  std::vector<Place> places_;
  std::map<std::pair<size_t, size_t>, Link> links_;
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> waiting_;
  std::string input_;
  Rng rng_;
  uint64_t packets_ = 0;
  uint64_t dropped_ = 0;
};

int run(int count, char** words) {
  const long places_wanted = count == 2 ? std::strtol(words[1], nullptr, 10) : 0;
  if (places_wanted < 1 || places_wanted > static_cast<long>(kPlacesMax)) {
    std::fprintf(stderr, "usage: crash_hub PLACES   (at most %zu)\n", kPlacesMax);
    return 2;
  }
  std::vector<Place> places = make_places(static_cast<size_t>(places_wanted));
  std::string paths;
  for (const Place& place : places) {
    if (place.tun < 0) {
      std::printf("impossible: %s\n", place.error.c_str());
      std::fflush(stdout);
      return 3;
    }
    paths += " " + place.path;
  }
  std::printf("ready%s\n", paths.c_str());
  std::fflush(stdout);
  Hub(std::move(places)).run();
  return 0;
}

}  // namespace
}  // namespace quorate::crash

int main(int count, char** words) {
  const int code = quorate::crash::run(count, words);
  std::fflush(stdout);
  ::_exit(code);  // the threads that hold the namespaces wait for ever
}
