// fuzz_corpus: plays the corpora, and simple mutations of them, where libFuzzer is missing.
//
//   fuzz_corpus [--runs N] [--seed S] DIRECTORY [TARGET...]
//
// DIRECTORY holds one directory for each target. An input that breaks something is left behind in
// the file fuzz-broken-PID.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/rng.h"
#include "target.h"

namespace quorate::fuzz {
namespace {

constexpr size_t kInputBytesMax = 8192;  // of mutations; the corpora's own may be longer

const std::string* playing = nullptr;

void keep_input(int signal) {
  char name[32] = "fuzz-broken-";
  int number = ::getpid();
  for (size_t at = 18; at >= 12; --at, number /= 10)
    name[at] = static_cast<char>('0' + number % 10);
  const int file = ::open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const ssize_t written = ::write(file, playing->data(), playing->size());
  const char said[] = "\nthe input that did it is kept in fuzz-broken-*\n";
  if (written < 0 || ::write(STDERR_FILENO, said, sizeof said - 1) < 0) ::_exit(1);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string mutated(Rng& rng, const std::vector<std::string>& corpus) {
  std::string input = corpus[rng.below(corpus.size())];
  const uint64_t changes = 1 + rng.below(4);
  for (uint64_t change = 0; change < changes; ++change) {
    const size_t at = input.empty() ? 0 : rng.below(input.size());
    switch (rng.below(6)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ (1 << rng.below(8)));
        break;
      case 1:
        if (!input.empty()) input[at] = static_cast<char>(rng.below(256));
        break;
      case 2:
        input.insert(at, 1 + rng.below(4), static_cast<char>(rng.below(256)));
        break;
      case 3:
        input.erase(at, 1 + rng.below(8));
        break;
      case 4: {
        const std::string& other = corpus[rng.below(corpus.size())];
        if (!other.empty()) input = input.substr(0, at) + other.substr(rng.below(other.size()));
        break;
      }
      default: {
        const size_t size = 1 + rng.below(16);
        input.insert(at, input.substr(at, size));
      }
    }
  }
  input.resize(std::min(input.size(), kInputBytesMax));
  return input;
}

class Player {
 public:
  Player(std::filesystem::path directory, uint64_t runs, uint64_t seed)
      : directory_(std::move(directory)), runs_(runs), seed_(seed) {}

  bool play(const Target& target) {
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ / target.name, error)) {
      paths.push_back(entry.path());
    }
    if (paths.empty()) {
      std::printf("%s: no corpus in %s\n", std::string(target.name).c_str(),
                  (directory_ / target.name).c_str());
      return false;
    }
    std::ranges::sort(paths);  // the order of a directory is not ours
    std::vector<std::string> corpus;
    for (const auto& path : paths) {
      corpus.push_back(read_file(path));
      run(target, corpus.back());
    }
    Rng rng(seed_);
    for (uint64_t count = 0; count < runs_; ++count) run(target, mutated(rng, corpus));
    std::printf("%s: %zu inputs and %lu mutations\n", std::string(target.name).c_str(),
                corpus.size(), static_cast<unsigned long>(runs_));
    return true;
  }

 private:
  static void run(const Target& target, const std::string& input) {
    playing = &input;
    target.function(input);
  }

  std::filesystem::path directory_;
  uint64_t runs_;
  uint64_t seed_;
};

int run(int count, char** words) {
  uint64_t runs = 0;
  uint64_t seed = 1;
  std::vector<std::string> names;
  for (int at = 1; at < count; ++at) {
    const std::string word = words[at];
    if ((word == "--runs" || word == "--seed") && at + 1 < count) {
      (word == "--runs" ? runs : seed) = std::strtoull(words[++at], nullptr, 10);
    } else {
      names.push_back(word);
    }
  }
  if (names.empty()) {
    std::fprintf(stderr, "usage: fuzz_corpus [--runs N] [--seed S] DIRECTORY [TARGET...]\n");
    return 2;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal, keep_input);
  }
  Player player(names.front(), runs, seed);
  bool good = true;
  for (const Target& target : targets()) {
    const bool wanted = names.size() == 1 || std::ranges::find(names, target.name) != names.end();
    if (wanted) good = player.play(target) && good;
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace quorate::fuzz

int main(int count, char** words) { return quorate::fuzz::run(count, words); }
