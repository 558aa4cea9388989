#include "journal.h"

#include "load.h"

namespace quorate::crash {
namespace {

constexpr size_t kFlushBytes = size_t{16} << 10U;  // written to the file together

}  // namespace

Journal::Journal(const std::string& path, uint64_t last_call)
    : output_(std::fopen(path.c_str(), "w")), writer_(text_), calls_(last_call) {
  if (output_ == nullptr) std::fprintf(stderr, "cannot write %s\n", path.c_str());
}

Journal::~Journal() {
  if (output_ != nullptr) std::fclose(output_);
}

uint64_t Journal::invoke(uint64_t process, check::Call call) {
  const std::lock_guard lock(mutex_);
  const uint64_t number = ++calls_;
  note(check::Invoked{number, static_cast<uint32_t>(process), std::move(call)});
  return number;
}

void Journal::finish(uint64_t call, app::Verdict verdict, check::Reply reply,
                     const std::string& text) {
  const std::lock_guard lock(mutex_);
  switch (verdict) {
    case app::Verdict::done:
      ++answered_;
      return note(check::Answered{call, std::move(reply)});
    case app::Verdict::refused:
    case app::Verdict::unavailable:
      ++failed_;
      return note(check::Failed{call, text});
    case app::Verdict::unknown:
      ++unknown_;
      return note(check::Unknown{call, text});
  }
}

bool Journal::close() {
  std::printf("%lu ok, %lu failed, %lu unknown\n", answered_, failed_, unknown_);
  flush();
  const bool closed = std::fclose(std::exchange(output_, nullptr)) == 0;
  return closed && good_;
}

void Journal::note(const check::Record& record) {
  writer_.record(Time{Duration{nanoseconds(Clock::now())}}, record);
  if (text_.size() > kFlushBytes) flush();
}

void Journal::flush() {
  good_ = std::fwrite(text_.data(), 1, text_.size(), output_) == text_.size() && good_;
  text_.clear();
}

}  // namespace quorate::crash
