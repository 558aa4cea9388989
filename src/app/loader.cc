// put --from-file: many puts, pipelined over one connection, each acknowledged or accounted for.
//
// A put whose answer was lost is unknown. With --retry-unknown it is written again, which is safe
// when nobody else writes these keys and each appears once: then a second put changes nothing
// but the revision.
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "machine/etcd/messages.h"

namespace quorate::app {
namespace {

using Clock = std::chrono::steady_clock;
namespace grpc = front::grpc;

constexpr auto kConnectPatience = std::chrono::seconds(1);
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr auto kReportEvery = std::chrono::seconds(1);

class Loader {
 public:
  Loader(const Common& common, const LoadOptions& options, std::istream& input)
      : common_(common),
        options_(options),
        input_(input),
        session_(common),
        endpoints_(common.endpoints) {}
  int run();

 private:
  bool next_request(std::string& wire);
  bool connect();
  void fill();
  bool may_start() const;
  void take(const grpc::Finished& finished);
  void show(bool final) const;
  bool given_up() const { return Clock::now() - last_progress_ > patience(); }
  std::chrono::seconds patience() const { return std::chrono::seconds(options_.patience_seconds); }
  int conclude() const;

  const Common& common_;
  const LoadOptions& options_;
  std::istream& input_;
  Session session_;
  std::vector<std::string> endpoints_;
  size_t endpoint_ = 0;
  std::unique_ptr<grpc::Client> client_;
  std::deque<std::string> again_;              // to be sent once more
  std::map<uint64_t, std::string> under_way_;  // by call number
  bool ended_ = false;                         // nothing left to start
  uint64_t begun_ = 0;
  uint64_t line_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t unknown_ = 0;
  uint64_t repeated_ = 0;
  std::string problem_;  // ends the load
  std::string last_reason_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point last_progress_ = Clock::now();
  Clock::time_point last_report_ = Clock::now();
};

bool Loader::next_request(std::string& wire) {
  if (!again_.empty()) {
    wire = std::move(again_.front());
    again_.pop_front();
    return true;
  }
  std::string line;
  while (std::getline(input_, line)) {
    ++line_;
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    if (tab == std::string::npos || tab == 0) {
      problem_ = "line " + std::to_string(line_) + " is not key<TAB>value";
      return false;
    }
    machine::etcd::PutRequest request;
    request.key = std::string_view(line).substr(0, tab);
    request.value = std::string_view(line).substr(tab + 1);
    wire.clear();
    machine::etcd::encode(request, wire);
    return true;
  }
  return false;
}

bool Loader::connect() {
  // A server that stops takes no new calls but goes on answering those under way.
  if (client_ && (client_->usable() || !under_way_.empty())) return true;
  client_.reset();
  for (size_t tried = 0; tried < endpoints_.size(); ++tried) {
    auto connected = session_.connect(endpoints_[endpoint_], kConnectPatience);
    if (connected) {
      client_ = std::move(*connected);
      return true;
    }
    last_reason_ = connected.error().text;
    endpoint_ = (endpoint_ + 1) % endpoints_.size();
  }
  return false;
}

bool Loader::may_start() const {
  if (!client_->usable() || under_way_.size() >= options_.window) return false;
  if (options_.rate == 0) return true;
  const std::chrono::duration<double> passed = Clock::now() - started_;
  return static_cast<double>(begun_) <= passed.count() * static_cast<double>(options_.rate);
}

void Loader::fill() {
  std::string wire;
  while (may_start() && !ended_) {
    if (!next_request(wire)) {
      ended_ = true;
      return;
    }
    ++begun_;
    const uint64_t call = client_->submit(kPathPut, wire, common_.timeout);
    under_way_.emplace(call, std::move(wire));
  }
}

void Loader::take(const grpc::Finished& finished) {
  auto at = under_way_.find(finished.call);
  if (at == under_way_.end()) return;
  std::string wire = std::move(at->second);
  under_way_.erase(at);
  const Verdict verdict = judge_write(finished.answer);
  if (verdict == Verdict::done) {
    ++acknowledged_;
    last_progress_ = Clock::now();
    return;
  }
  last_reason_ = finished.answer.message;
  if (verdict == Verdict::refused) {
    problem_ = "refused: " + finished.answer.message;
  } else if (verdict == Verdict::unavailable || options_.retry_unknown) {
    ++repeated_;
    again_.push_back(std::move(wire));
    ended_ = false;
  } else {
    ++unknown_;
  }
}

void Loader::show(bool final) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  std::fprintf(stderr, "%lu acknowledged, %lu sent again, %lu unknown, %.1f s%s\n",
               static_cast<unsigned long>(acknowledged_), static_cast<unsigned long>(repeated_),
               static_cast<unsigned long>(unknown_), seconds, final ? "" : " ...");
}

int Loader::conclude() const {
  show(true);
  if (common_.json) {
    std::printf("{\"acknowledged\":%lu,\"unknown\":%lu,\"repeated\":%lu,\"complete\":%s}\n",
                static_cast<unsigned long>(acknowledged_), static_cast<unsigned long>(unknown_),
                static_cast<unsigned long>(repeated_), problem_.empty() ? "true" : "false");
  }
  if (!problem_.empty()) {
    complain("load stopped at line " + std::to_string(line_) + ": " + problem_ +
             (under_way_.empty() ? "" : "; puts under way then are unknown"));
    return under_way_.empty() ? kExitRefused : kExitUnknown;
  }
  if (unknown_ > 0) {
    complain(std::to_string(unknown_) +
             " puts may or may not have been applied; load again, or use --retry-unknown");
    return kExitUnknown;
  }
  return kExitOk;
}

int Loader::run() {
  endpoints_ = leader_first(common_, kConnectPatience);
  while (problem_.empty()) {
    if (given_up()) {
      problem_ = "no acknowledgement for " + std::to_string(options_.patience_seconds) +
                 " s: " + last_reason_;
      break;
    }
    if (!connect()) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    const uint64_t repeated = repeated_;
    fill();
    if (ended_ && under_way_.empty()) break;
    const auto pause = options_.rate == 0 ? Duration(kReportEvery) : Duration(kPause) / 10;
    for (const grpc::Finished& finished : client_->wait(pause)) take(finished);
    if (repeated_ != repeated) {  // somebody is not well: breathe, then try the next endpoint
      std::this_thread::sleep_for(kPause);
      if (under_way_.empty()) client_.reset();
      if (!client_) endpoint_ = (endpoint_ + 1) % endpoints_.size();
    }
    if (Clock::now() - last_report_ >= kReportEvery) {
      last_report_ = Clock::now();
      show(false);
    }
  }
  return conclude();
}

}  // namespace

int run_load(const Common& common, const LoadOptions& options) {
  std::ifstream file;
  if (options.path != "-") {
    file.open(options.path);
    if (!file) {
      complain("cannot read \"" + options.path + "\"");
      return kExitUsage;
    }
  }
  return Loader(common, options, options.path == "-" ? std::cin : file).run();
}

}  // namespace quorate::app
