// tests/differential/cluster.h: one to three members of one program, on free ports of this machine,
// with fresh data in a directory of their own. Killed and removed with the object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace quorate::differential {

class Cluster {
 public:
  // command: the words that start a member; etcd's flags are added.
  Cluster(std::vector<std::string> command, size_t size, std::string directory);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  size_t size() const { return members_.size(); }
  uint16_t port(size_t member) const { return members_[member].client_port; }
  void start(size_t member);
  void kill(size_t member);
  bool takes_connections(size_t member) const;
  // True once a connection is taken; false when the program ended, or the time is over.
  bool wait_listening(size_t member);
  // The last lines a member logged, for whoever wants to know why it ended.
  std::string last_words(size_t member) const;

 private:
  struct Member {
    uint16_t client_port = 0;
    uint16_t peer_port = 0;
    pid_t process = -1;
  };
  std::vector<std::string> flags(size_t member) const;
  std::string log_path(size_t member) const;

  std::vector<std::string> command_;
  std::string directory_;
  std::vector<Member> members_;
};

}  // namespace quorate::differential
