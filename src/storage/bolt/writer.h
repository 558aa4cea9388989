// storage/bolt/writer.h: buckets of sorted rows become etcd's database file, a page at a time.
//
// Rows arrive in order, so every page is filled, numbered and done with before the next begins:
// what is held is one leaf and one branch a level, however large the file. Only the two metas at
// its front are known last. The same calls give the same bytes, so who needs them first writes
// twice and throws the first away.
//
// Invariant: no branch has a single child (unless its keys are enormous): etcd's library would
// stop its process when it joins the pages below such a branch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::storage::bolt {

class Writer {
 public:
  Writer();
  // Names in ascending order, none empty; each bucket is ended before the next begins.
  void begin_bucket(std::string_view name);
  // Keys in ascending order, none empty, none longer than kKeyBytesMax.
  void put(std::string_view key, std::string_view value);
  void end_bucket();
  // After the last bucket: the two pages that come first in the file.
  std::string finish();

  // Pages that are done, in the order of the file; whoever takes them empties it.
  std::string& output() { return output_; }
  // Of the file so far, metas included.
  uint64_t page_count() const { return next_page_; }

 private:
  struct Row {
    uint32_t key_size = 0;
    uint32_t value_size = 0;
  };
  struct Child {
    std::string key;  // the first one below
    uint64_t page = 0;
  };
  struct Level {
    std::vector<Child> children;
    size_t bytes = 0;  // of a page with them
  };

  void add_row(std::string_view key, std::string_view value);
  void end_leaf();
  void add_child(size_t level, std::string key, uint64_t page);
  void end_branch(size_t level, size_t children);
  uint64_t end_tree();
  uint64_t emit(uint16_t flags, size_t count, std::string_view elements, std::string_view data);

  std::string output_;
  uint64_t next_page_ = 2;  // behind the metas
  uint64_t freelist_ = 0;
  uint32_t row_flags_ = 0;
  std::vector<Row> rows_;  // of the leaf at work
  std::string data_;       // keys and values of these rows
  size_t leaf_bytes_ = 0;
  std::string last_key_;
  std::vector<Level> levels_;  // of the tree at work, from the leaves up
  std::string bucket_;         // its name; empty: none is open
  struct Bucket {
    std::string name;
    uint64_t root = 0;
  };
  std::vector<Bucket> buckets_;
};

}  // namespace quorate::storage::bolt
