#include "node/test_machine.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "node/identity.h"

namespace quorate::node::testing {

Result<std::unique_ptr<machine::StateMachine>> TestMachine::open(world::Disk& disk,
                                                                 const std::string& directory) {
  std::unique_ptr<TestMachine> machine(new TestMachine(disk, directory));
  if (disk.exists(directory + "/image")) {
    if (auto loaded = machine->read_image(); !loaded) return std::unexpected(loaded.error());
  } else if (auto made = disk.make_directory(directory); !made) {
    return fail(made.error().kind, made.error().text);
  }
  machine->durable_ = machine->position_;
  return std::unique_ptr<machine::StateMachine>(std::move(machine));
}

Result<uint64_t> TestMachine::read_image() {
  auto file = disk_.open(directory_ + "/image", world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  const auto size = (*file)->size();
  if (!size) return fail(size.error().kind, size.error().text);
  std::string text(*size, '\0');
  const auto read = (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!read) return fail(read.error().kind, read.error().text);
  if (!load(text)) return fail(ErrorKind::corrupt, directory_ + "/image is damaged");
  return uint64_t{text.size()};
}

Result<uint64_t> TestMachine::verify_next(std::string& place) const {
  place.clear();
  if (!disk_.exists(directory_ + "/image")) return uint64_t{0};
  TestMachine again(disk_, directory_);
  return again.read_image();
}

std::string TestMachine::image() const {
  Encoder out;
  out.varint(position_.index.value);
  out.varint(position_.round);
  out.string(position_.members.view());
  out.varint(rows_.size());
  for (const auto& [key, value] : rows_) {
    out.string(key);
    out.string(value);
  }
  out.u32(crc32c(out.text()));
  return out.text();
}

bool TestMachine::load(const std::string& whole) {
  if (whole.size() < 4) return false;
  const std::string_view text = std::string_view(whole).substr(0, whole.size() - 4);
  Decoder stored(std::string_view(whole).substr(text.size()));
  if (stored.u32() != crc32c(text)) return false;
  Decoder in(text);
  position_.index = Index{in.varint()};
  position_.round = in.varint();
  position_.members = Bytes(in.string());
  const uint64_t count = in.varint();
  for (uint64_t row = 0; in.ok() && row < count; ++row) {
    std::string key(in.string());
    rows_[key] = std::string(in.string());
  }
  return in.finished();
}

Result<void> TestMachine::save(const std::string& directory) const {
  if (auto made = disk_.make_directory(directory); !made) return made;
  // A second file makes a checkpoint more than one file, one of them empty.
  if (!disk_.exists(directory + "/empty")) {
    if (auto file = disk_.open(directory + "/empty", world::OpenMode::create); !file) {
      return fail(file.error().kind, file.error().text);
    }
  }
  return replace_file(disk_, directory, "image", Bytes(image()));
}

void TestMachine::advance(Index index, uint64_t round) {
  CHECK(index == position_.index.next(), "entries come in order, each once");
  CHECK(round >= position_.round, "rounds never go back along a log");
  position_.index = index;
  position_.round = round;
}

void TestMachine::apply_command(Index index, uint64_t round, const Bytes& command,
                                machine::Reply* reply) {
  advance(index, round);
  const std::string text = command.str();
  const size_t split = text.find('=');
  std::string& value = rows_[text.substr(0, split)];
  // Not idempotent: a command applied twice leaves a trace.
  value += split == std::string::npos ? "" : text.substr(split + 1);
  if (text.starts_with("chores=")) chores += text.size() - split - 1;
  if (reply == nullptr) return;
  ++replies_made;
  reply->revision = static_cast<int64_t>(index.value);
  reply->body = Bytes(value);
}

void TestMachine::apply_noop(Index index, uint64_t round) { advance(index, round); }

void TestMachine::apply_members(Index index, uint64_t round, const Bytes& members) {
  advance(index, round);
  position_.members = members;
}

void TestMachine::query(const Bytes& request, machine::Reply& reply) const {
  const auto row = rows_.find(request.str());
  reply.code = row == rows_.end() ? 1 : 0;
  if (row != rows_.end()) reply.body = Bytes(row->second);
}

void TestMachine::start_flush() {
  CHECK(save(directory_).has_value(), "a test's store can be saved");
  durable_ = position_;
}

Result<machine::AppliedPosition> TestMachine::checkpoint(const std::string& directory) {
  if (auto saved = save(directory); !saved) return fail(saved.error().kind, saved.error().text);
  return position_;
}

uint32_t TestMachine::state_hash() const {
  Encoder out;
  for (const auto& [key, value] : rows_) {
    out.string(key);
    out.string(value);
  }
  return crc32c(out.text());
}

}  // namespace quorate::node::testing
