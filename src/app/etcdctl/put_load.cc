#include "app/etcdctl/put_load.h"

#include <algorithm>

#include "app/etcdctl/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "machine/etcd/messages.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;

constexpr auto kStep = std::chrono::milliseconds(2);
constexpr auto kReportEvery = std::chrono::seconds(1);

double seconds_since(PutLoad::Clock::time_point begun) {
  return std::chrono::duration<double>(PutLoad::Clock::now() - begun).count();
}

}  // namespace

std::optional<int> PutLoad::connect() {
  for (const std::string& endpoint : session_.endpoints()) {
    auto connected = session_.connect(endpoint, common_.timeout);
    if (!connected) {
      complain(connected.error().text);
      return kExitUnavailable;
    }
    clients_.push_back(std::move(*connected));
  }
  under_way_.resize(clients_.size());
  return std::nullopt;
}

bool PutLoad::may_start(Clock::time_point begun) const {
  if (flying_ >= plan_.clients) return false;
  if (plan_.seconds == 0) return started_ < plan_.keys;
  const double passed = std::min(seconds_since(begun), static_cast<double>(plan_.seconds));
  return started_ < static_cast<uint64_t>(passed * static_cast<double>(plan_.rate));
}

void PutLoad::start_due(Clock::time_point begun) {
  static const std::string value(kCheckedValueBytes, 'v');
  while (may_start(begun)) {
    const std::string key = plan_.prefix + std::to_string(started_ % plan_.keys);
    etcd::PutRequest request;
    request.key = key;
    request.value = value;
    std::string wire;
    etcd::encode(request, wire);
    const size_t at = started_++ % clients_.size();
    under_way_[at].emplace(clients_[at]->submit(kPathPut, wire, common_.timeout), Clock::now());
    ++flying_;
  }
}

void PutLoad::take_finished() {
  for (size_t at = 0; at < clients_.size(); ++at) {
    for (const auto& finished : clients_[at]->wait(kStep / clients_.size())) {
      const auto found = under_way_[at].find(finished.call);
      if (found == under_way_[at].end()) continue;
      took_.push_back(seconds_since(found->second));
      under_way_[at].erase(found);
      --flying_;
      if (finished.answer.fate == front::grpc::Fate::answered && finished.answer.status == 0) {
        continue;
      }
      ++failed_;
      failure_ = finished.answer.message;
    }
  }
}

void PutLoad::show(Clock::time_point begun, Clock::time_point& shown) const {
  if (Clock::now() - shown < kReportEvery) return;
  shown = Clock::now();
  std::string line = plan_.command + ": " + std::to_string(took_.size());
  if (plan_.seconds == 0) {
    line += " of " + std::to_string(plan_.keys) + " puts";
  } else {
    line += " puts, " + std::to_string((shown - begun) / std::chrono::seconds(1)) + " of " +
            std::to_string(plan_.seconds) + " s";
  }
  show_progress(line);
}

void PutLoad::run() {
  const auto begun = Clock::now();
  auto shown = begun;
  const auto more = [&] {
    if (flying_ > 0) return true;
    return plan_.seconds == 0 ? started_ < plan_.keys
                              : seconds_since(begun) < static_cast<double>(plan_.seconds);
  };
  while (more() && !interruption_.happened()) {
    start_due(begun);
    take_finished();
    show(begun, shown);
  }
  end_progress();
  seconds_ = seconds_since(begun);
}

void PutLoad::clean_up(bool compact, bool defragment) {
  const KeyRange range = key_range(plan_.prefix, "", true, false);
  etcd::DeleteRangeRequest request;
  request.key = range.key;
  request.range_end = range.end;
  std::string wire;
  etcd::encode(request, wire);
  const Response response = session_.write(kPathDelete, wire);
  if (response.verdict != Verdict::done) {
    complain("keys under " + plan_.prefix + " are left behind: " + response.text);
    return;
  }
  const auto erased = etcd::decode_delete_range_response(response.body);
  if (compact && erased) {
    std::string compaction;
    etcd::encode(etcd::CompactionRequest{erased->header.revision, true}, compaction);
    const Response compacted = session_.write(kPathCompact, compaction);
    if (compacted.verdict != Verdict::done) complain("not compacted: " + compacted.text);
  }
  if (defragment) run_defragment(common_, {});
}

}  // namespace quorate::app::etcdctl
