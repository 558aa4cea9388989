#include "app/bootstrap.h"

#include <algorithm>
#include <random>

#include "app/cluster_ids.h"
#include "app/output.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "consensus/register/limits.h"
#include "node/identity.h"
#include "node/member_about.h"
#include "node/registers/wire.h"

namespace quorate::app {
namespace {

namespace caspaxos = consensus::caspaxos;

constexpr const char* kRegister = "founding";
constexpr const char* kFile = "founding";
constexpr uint64_t kFileBytesMax = 65536;
// One try; then the register says what it knows, and it is tried again.
constexpr Duration kPatience = std::chrono::seconds(5);
constexpr Duration kPause = std::chrono::milliseconds(200);
// Between two questions to those who may know already.
constexpr Duration kAskInterval = std::chrono::milliseconds(300);
constexpr Duration kReportInterval = std::chrono::seconds(5);

std::string subdirectory(const std::string& directory) { return directory + "/bootstrap"; }

uint64_t random_number() {
  std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

NodeId seed_id(const Seed& seed, const std::string& token) {
  return NodeId{founding_member_id(seed.urls, token + "/bootstrap")};
}

}  // namespace

Result<std::optional<node::Introduction>> load_founding(world::Disk& disk,
                                                        const std::string& directory) {
  const std::string path = subdirectory(directory) + "/" + kFile;
  if (!disk.exists(path)) return std::optional<node::Introduction>();
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  const auto size = (*file)->size();
  if (!size) return fail(size.error().kind, size.error().text);
  std::optional<node::Introduction> founding;
  if (*size <= kFileBytesMax && *size >= sizeof(uint32_t)) {
    std::string text(*size, '\0');
    const auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
    if (!read) return fail(read.error().kind, read.error().text);
    Decoder crc(std::string_view(text).substr(text.size() - sizeof(uint32_t)));
    const std::string_view covered = std::string_view(text).substr(0, text.size() - 4);
    if (*read == text.size() && crc.u32() == crc32c(covered)) {
      founding = node::decode_introduction(Bytes(covered));
    }
  }
  if (founding) return founding;
  return fail(ErrorKind::corrupt, path +
                                      " is damaged; remove it, and this member asks the others "
                                      "again to which cluster it belongs");
}

Bootstrap::Bootstrap(world::EventLoop& loop, world::Disk& disk, world::Security* security,
                     BootstrapOptions options, Done done)
    : loop_(loop),
      disk_(disk),
      security_(security),
      options_(std::move(options)),
      done_(std::move(done)),
      inquirer_(loop, security) {}

Bootstrap::~Bootstrap() = default;

const Seed& Bootstrap::self() const {
  return *std::ranges::find(options_.seeds, options_.name, &Seed::name);
}

Result<void> Bootstrap::start() {
  const std::string directory = subdirectory(options_.directory);
  if (auto made = disk_.make_directory(directory); !made) return made;
  auto lock = disk_.lock(directory);
  if (!lock) return std::unexpected(lock.error());
  lock_ = std::move(*lock);
  if (auto encoded = proposal(); !encoded) return std::unexpected(encoded.error());

  node::RegisterFile file;
  std::vector<uint64_t> ids;
  for (const Seed& seed : options_.seeds) {
    file.acceptors.push_back(seed_id(seed, options_.token));
    ids.push_back(file.acceptors.back().value);
  }
  std::ranges::sort(file.acceptors);
  file.cluster_id = founding_cluster_id(ids);
  file.self = file.proposer = seed_id(self(), options_.token);
  file.accepts = true;
  auto stored = node::load_register_file(disk_, directory);
  if (!stored) return std::unexpected(stored.error());
  if (*stored) {
    if ((*stored)->cluster_id != file.cluster_id || (*stored)->self != file.self) {
      return fail(ErrorKind::conflict,
                  directory +
                      " was begun with other seeds, another token or another name; start this "
                      "member as it was started first, or with an empty data directory if it "
                      "never was part of a cluster");
    }
    file = std::move(**stored);
  }
  world::TcpOptions tcp{file.self, file.cluster_id, options_.listen, security_};
  auto network = world::make_tcp_network(loop_, tcp);
  if (!network) return std::unexpected(network.error());
  network_ = std::move(*network);
  const auto send = [this](NodeId to, const caspaxos::Body& body) {
    network_->send(to, world::Lane::normal, node::encode_register_payload(body));
  };
  const auto failed = [this](const Error& error) { finish(std::unexpected(error)); };
  // Numbers of changes: the wall clock goes on between two runs; if it does not, the random part
  // keeps them apart.
  const uint64_t sequence = (random_number() >> 1U) | 1U;
  host_ = std::make_unique<node::RegisterHost>(
      node::RegisterHost::World{loop_, disk_, directory, send, failed}, std::move(file), sequence,
      Rng(random_number()));
  network_->start(*this);
  for (const Seed& seed : options_.seeds) {
    if (seed.name == options_.name) continue;
    network_->set_peer(seed_id(seed, options_.token), seed.addresses);
    others_.insert(others_.end(), seed.addresses.begin(), seed.addresses.end());
  }
  log(LogLevel::info, "agreeing with the other seeds on a cluster");
  propose();
  ask_next();
  return {};
}

// All seeds, under ids that nobody has ever had.
Result<Bytes> Bootstrap::proposal() const {
  const std::string token = options_.token + "/" + hex(random_number());
  node::Introduction founding;
  founding.group = options_.group;
  std::vector<uint64_t> ids;
  for (const Seed& seed : options_.seeds) {
    const NodeId id{founding_member_id(seed.urls, token)};
    ids.push_back(id.value);
    founding.members.voters.push_back({id, 0, node::encode_member_about({seed.name, seed.urls})});
  }
  std::ranges::sort(founding.members.voters, {}, &consensus::Member::id);
  founding.cluster_id = founding_cluster_id(ids);
  Bytes encoded = node::encode_introduction(founding);
  if (encoded.size() <= caspaxos::kValueBytesMax) return encoded;
  return fail(ErrorKind::invalid,
              "--bootstrap-seeds names too many members; found the cluster with seven or fewer and "
              "add the others with `quorate member add`");
}

void Bootstrap::propose() {
  auto value = proposal();
  if (!value) return finish(std::unexpected(value.error()));
  host_->change(kRegister, node::RegisterSwap{std::nullopt, std::move(*value)},
                loop_.now() + kPatience,
                lifeline_.guard([this](const node::RegisterOutcome& outcome) { heard(outcome); }));
}

void Bootstrap::heard(const node::RegisterOutcome& outcome) {
  if (!done_) return;
  if (outcome.verdict == node::RegisterVerdict::applied ||
      outcome.verdict == node::RegisterVerdict::mismatch) {
    return learned(outcome.value);
  }
  // Unknown is no harm: the next try finds out, for the register is written once.
  complain_at_times("no majority of the seeds answers");
  loop_.at(loop_.now() + kPause, lifeline_.guard([this] {
    if (done_) propose();
  }));
}

// Those who know the decision have left the register behind; but they tell whoever asks.
void Bootstrap::ask_next() {
  if (others_.empty()) return;
  const std::string address = others_[asked_++ % others_.size()];
  inquirer_.ask(address, [this](const Result<Bytes>& answer) {
    if (!done_) return;
    if (answer && !answer->empty()) learned(*answer);
    if (!done_) return;
    loop_.at(loop_.now() + kAskInterval, lifeline_.guard([this] {
      if (done_) ask_next();
    }));
  });
}

void Bootstrap::learned(const Bytes& encoded) {
  auto founding = node::decode_introduction(encoded);
  if (!founding || founding->group != options_.group) {
    return complain_at_times("an answer cannot be understood");
  }
  founding->index = Index{};  // not a position of our log: we have none
  const auto found = node::member_at(*founding, options_.name, self().urls);
  if (!found) return finish(std::unexpected(found.error()));
  if (!*found) {
    return finish(fail(ErrorKind::conflict,
                       "the seeds have founded a cluster without this member; add it with `quorate "
                       "member add` and start it with --initial-cluster-state existing"));
  }
  Encoder out;
  out.raw(node::encode_introduction(*founding).view());
  out.u32(crc32c(out.text()));
  const std::string directory = subdirectory(options_.directory);
  if (auto saved = node::replace_file(disk_, directory, kFile, out.take()); !saved) {
    return finish(std::unexpected(saved.error()));
  }
  log(LogLevel::info, "the seeds have agreed on cluster " + hex(founding->cluster_id));
  finish(std::move(*founding));
}

void Bootstrap::finish(Result<node::Introduction> outcome) {
  if (!done_) return;
  host_->stop();
  loop_.post([done = std::exchange(done_, {}), outcome = std::move(outcome)] { done(outcome); });
}

void Bootstrap::on_frame(NodeId peer, Bytes frame) {
  const auto payload = node::decode_register_payload(frame);
  if (!payload) return;  // hostile, or another version
  const auto* body = std::get_if<caspaxos::Body>(&*payload);
  if (body != nullptr && done_) host_->receive(peer, *body);
}

void Bootstrap::complain_at_times(const std::string& problem) {
  if (loop_.now() - reported_ < kReportInterval) return;
  reported_ = loop_.now();
  log(LogLevel::warn, "no cluster yet: " + problem +
                          "; check --bootstrap-seeds, and that a majority of them is running");
}

}  // namespace quorate::app
