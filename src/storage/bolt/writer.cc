#include "storage/bolt/writer.h"

#include "base/check.h"
#include "storage/bolt/page.h"

namespace quorate::storage::bolt {

namespace {

// A branch is ended when it is full, and keeps its last two children for the next one; what is
// left behind must be two again.
constexpr size_t kChildrenKept = 2;
constexpr size_t kChildrenMin = 4;

}  // namespace

Writer::Writer() : leaf_bytes_(kHeaderBytes) {
  // Nothing is free in a file written from front to end.
  freelist_ = emit(kFreelist, 0, {}, {});
}

uint64_t Writer::emit(uint16_t flags, size_t count, std::string_view elements,
                      std::string_view data) {
  const size_t size = kHeaderBytes + elements.size() + data.size();
  const size_t pages = (size + kPageBytes - 1) / kPageBytes;
  const uint64_t id = next_page_;
  append_page_header({id, flags, static_cast<uint16_t>(count), static_cast<uint32_t>(pages - 1)},
                     output_);
  output_ += elements;
  output_ += data;
  output_.append(pages * kPageBytes - size, '\0');
  next_page_ += pages;
  return id;
}

void Writer::begin_bucket(std::string_view name) {
  CHECK(bucket_.empty() && !name.empty(), "one named bucket after the other");
  CHECK(buckets_.empty() || buckets_.back().name < name, "buckets come in the order of names");
  bucket_ = name;
}

void Writer::put(std::string_view key, std::string_view value) {
  CHECK(!bucket_.empty(), "a row belongs to a bucket");
  add_row(key, value);
}

void Writer::end_bucket() {
  CHECK(!bucket_.empty(), "a bucket ends once");
  buckets_.push_back({std::move(bucket_), end_tree()});
  bucket_.clear();
}

void Writer::add_row(std::string_view key, std::string_view value) {
  CHECK(!key.empty() && key.size() <= kKeyBytesMax && value.size() < UINT32_MAX,
        "a row is one that etcd can read");
  CHECK(last_key_ < key, "rows come in the order of their keys");
  const size_t bytes = kElementBytes + key.size() + value.size();
  if (!rows_.empty() && leaf_bytes_ + bytes > kPageBytes) end_leaf();
  last_key_ = key;
  rows_.push_back({static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())});
  data_ += key;
  data_ += value;
  leaf_bytes_ += bytes;
}

void Writer::end_leaf() {
  std::string elements;
  size_t position = rows_.size() * kElementBytes;  // from the first element to its key
  for (const Row& row : rows_) {
    append_leaf_element({row_flags_, static_cast<uint32_t>(position), row.key_size, row.value_size},
                        elements);
    position += row.key_size + row.value_size - kElementBytes;
  }
  std::string first(rows_.empty() ? std::string_view()
                                  : std::string_view(data_).substr(0, rows_.front().key_size));
  const uint64_t page = emit(kLeaf, rows_.size(), elements, data_);
  rows_.clear();
  data_.clear();
  leaf_bytes_ = kHeaderBytes;
  add_child(0, std::move(first), page);
}

void Writer::add_child(size_t level, std::string key, uint64_t page) {
  if (levels_.size() == level) levels_.push_back({{}, kHeaderBytes});
  Level& parents = levels_[level];
  parents.bytes += kElementBytes + key.size();
  parents.children.push_back({std::move(key), page});
  if (parents.bytes > kPageBytes && parents.children.size() >= kChildrenMin) {
    end_branch(level, parents.children.size() - kChildrenKept);
  }
}

void Writer::end_branch(size_t level, size_t children) {
  std::string elements;
  std::string data;
  Level& parents = levels_[level];
  size_t position = children * kElementBytes;
  for (size_t i = 0; i < children; ++i) {
    const Child& child = parents.children[i];
    append_branch_element(
        {static_cast<uint32_t>(position), static_cast<uint32_t>(child.key.size()), child.page},
        elements);
    data += child.key;
    position += child.key.size() - kElementBytes;
  }
  parents.bytes -= elements.size() + data.size();
  std::string first = parents.children.front().key;
  parents.children.erase(parents.children.begin(),
                         parents.children.begin() + static_cast<ptrdiff_t>(children));
  const uint64_t page = emit(kBranch, children, elements, data);
  add_child(level + 1, std::move(first), page);  // `parents` may be void from here on
}

// Closes the tree at work and returns the page of its root.
uint64_t Writer::end_tree() {
  if (!rows_.empty() || levels_.empty()) end_leaf();
  uint64_t root = 0;
  for (size_t level = 0; level < levels_.size(); ++level) {
    const std::vector<Child>& children = levels_[level].children;
    if (level + 1 == levels_.size() && children.size() == 1) {
      root = children.front().page;
    } else {
      end_branch(level, children.size());
    }
  }
  CHECK(root != 0, "a tree has a root");
  levels_.clear();
  last_key_.clear();
  return root;
}

std::string Writer::finish() {
  CHECK(bucket_.empty(), "the last bucket was ended");
  row_flags_ = kBucketElement;
  for (const Bucket& bucket : buckets_) {
    std::string value;
    append_bucket_header({bucket.root, 0}, value);
    add_row(bucket.name, value);
  }
  Meta meta;
  meta.root.root = end_tree();
  meta.freelist = freelist_;
  meta.page_count = next_page_;
  std::string front;
  for (const uint64_t page : {0U, 1U}) {
    append_page_header({page, kMeta, 0, 0}, front);
    meta.transaction = 2 - page;  // each stands where its transaction would have put it
    append_meta(meta, front);
    front.resize((page + 1) * kPageBytes);
  }
  return front;
}

}  // namespace quorate::storage::bolt
