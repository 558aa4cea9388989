#include "cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "base/check.h"

namespace quorate::differential {

namespace {

constexpr auto kListenPatience = std::chrono::seconds(20);
constexpr auto kLookInterval = std::chrono::milliseconds(5);
constexpr size_t kLastWordsBytes = 1500;

int open_socket(uint16_t port, sockaddr_in& address) {
  std::memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

bool can_connect(uint16_t port) {
  sockaddr_in address{};
  const int descriptor = open_socket(port, address);
  const bool good =
      ::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(descriptor);
  return good;
}

// The same blocks of ports, and the same names for who has one, as in tests/e2e/cluster.py: below
// the range that the kernel gives to outgoing connections, so that none of those takes one between
// now and the member's start, and no other test's process, either.
constexpr uint32_t kPortsFirst = 11000;
constexpr uint32_t kPortBlocks = 200;
constexpr uint32_t kPortsEach = 100;

// The first port of a block that is this process's until it ends.
uint32_t block_of_ports() {
  const uint32_t first = std::random_device()();
  for (uint32_t number = 0; number < kPortBlocks; ++number) {
    const uint32_t block = (first + number) % kPortBlocks;
    const std::string name = "quorate-test-ports-" + std::to_string(block);
    sockaddr_un owned{};
    owned.sun_family = AF_UNIX;
    name.copy(owned.sun_path + 1, name.size());  // a zero before it: no file
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(descriptor, reinterpret_cast<sockaddr*>(&owned), size) == 0) {
      return kPortsFirst + block * kPortsEach;  // the descriptor stays open
    }
    ::close(descriptor);
  }
  CHECK(false, "all ports for tests are taken");
}

uint16_t free_port() {
  static uint32_t next = 0;
  while (true) {
    if (next % kPortsEach == 0) next = block_of_ports();
    const auto port = static_cast<uint16_t>(next++);
    sockaddr_in address{};
    const int descriptor = open_socket(port, address);
    const bool good =
        ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    ::close(descriptor);
    if (good) return port;
  }
}

std::string url(uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

}  // namespace

Cluster::Cluster(std::vector<std::string> command, size_t size, std::string directory)
    : command_(std::move(command)), directory_(std::move(directory)), members_(size) {
  std::filesystem::create_directories(directory_);
  for (Member& each : members_) {
    each.client_port = free_port();
    each.peer_port = free_port();
  }
}

Cluster::~Cluster() {
  for (size_t member = 0; member < members_.size(); ++member) kill(member);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string Cluster::log_path(size_t member) const {
  return directory_ + "/n" + std::to_string(member) + ".log";
}

std::vector<std::string> Cluster::flags(size_t member) const {
  std::string initial;
  for (size_t each = 0; each < members_.size(); ++each) {
    initial +=
        (each == 0 ? "n" : ",n") + std::to_string(each) + "=" + url(members_[each].peer_port);
  }
  const std::string name = "n" + std::to_string(member);
  const std::string client = url(members_[member].client_port);
  const std::string peer = url(members_[member].peer_port);
  return {"--name", name, "--data-dir", directory_ + "/" + name, "--listen-client-urls", client,
          "--advertise-client-urls", client, "--listen-peer-urls", peer,
          "--initial-advertise-peer-urls", peer, "--initial-cluster", initial,
          // A lost leader is missed soon. The shortest lease is made of the same number.
          "--heartbeat-interval", "50", "--election-timeout", "500"};
}

void Cluster::start(size_t member) {
  std::vector<std::string> words = command_;
  const std::vector<std::string> more = flags(member);
  words.insert(words.end(), more.begin(), more.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = log_path(member);
  const pid_t process = ::fork();
  CHECK(process >= 0, "a member can be started");
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  members_[member].process = process;
}

void Cluster::kill(size_t member) {
  pid_t& process = members_[member].process;
  if (process <= 0) return;
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  process = -1;
}

bool Cluster::takes_connections(size_t member) const {
  return can_connect(members_[member].client_port);
}

bool Cluster::wait_listening(size_t member) {
  const auto end = std::chrono::steady_clock::now() + kListenPatience;
  while (std::chrono::steady_clock::now() < end) {
    if (takes_connections(member)) return true;
    int status = 0;
    if (::waitpid(members_[member].process, &status, WNOHANG) != 0) {
      members_[member].process = -1;
      std::ofstream(log_path(member), std::ios::app)
          << (WIFSIGNALED(status) ? "killed by signal " : "ended with code ")
          << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)) << "\n";
      return false;
    }
    std::this_thread::sleep_for(kLookInterval);
  }
  return false;
}

std::string Cluster::last_words(size_t member) const {
  std::ifstream file(log_path(member));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (text.size() > kLastWordsBytes) text.erase(0, text.size() - kLastWordsBytes);
  return text;
}

}  // namespace quorate::differential
