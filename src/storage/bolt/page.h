// storage/bolt/page.h: the pages of etcd's database file, as bytes (docs/formats/bolt.md).
//
// A file is a sequence of pages of one size; some take several in a row. The first two are metas:
// each says where the tree of buckets begins, and the valid one with the higher transaction
// counts. All numbers are little endian. What is decoded here was only cut out of the bytes:
// whether it makes sense is for the reader to judge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::storage::bolt {

// What we write. etcd makes pages as large as those of its machine and reads any size.
inline constexpr size_t kPageBytes = 4096;
// What machines have: 512 was never one, 64 KiB is that of some ARM and POWER kernels.
inline constexpr size_t kPageBytesMin = 1024;
inline constexpr size_t kPageBytesMax = size_t{64} << 10U;
inline constexpr size_t kHeaderBytes = 16;
inline constexpr size_t kElementBytes = 16;    // of a branch and of a leaf
inline constexpr size_t kBucketBytes = 16;     // a leaf's value that stands for a bucket
inline constexpr size_t kKeyBytesMax = 32768;  // what etcd's library takes

enum PageFlag : uint16_t { kBranch = 0x01, kLeaf = 0x02, kMeta = 0x04, kFreelist = 0x10 };
inline constexpr uint32_t kBucketElement = 0x01;  // flag of a leaf's element

struct PageHeader {
  uint64_t id = 0;
  uint16_t flags = 0;
  uint16_t count = 0;     // elements
  uint32_t overflow = 0;  // further pages that belong to it
};
struct BranchElement {
  uint32_t position = 0;  // of the key, counted from the element
  uint32_t key_size = 0;
  uint64_t page = 0;
};
struct LeafElement {
  uint32_t flags = 0;
  uint32_t position = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
};
struct BucketHeader {
  uint64_t root = 0;  // 0: the bucket's only page stands right behind, within the value
  uint64_t sequence = 0;
};
struct Meta {
  uint32_t page_size = kPageBytes;
  BucketHeader root;
  uint64_t freelist = 0;
  uint64_t page_count = 0;  // pages in use; those behind are nobody's
  uint64_t transaction = 0;
};
inline constexpr size_t kMetaBytes = 64;

// Each takes from the front of `bytes`, which must be long enough.
PageHeader decode_page_header(std::string_view bytes);
BranchElement decode_branch_element(std::string_view bytes);
LeafElement decode_leaf_element(std::string_view bytes);
BucketHeader decode_bucket_header(std::string_view bytes);
// nullopt: not a meta, of another version, or damaged.
std::optional<Meta> decode_meta(std::string_view bytes);

void append_page_header(const PageHeader& header, std::string& out);
void append_branch_element(const BranchElement& element, std::string& out);
void append_leaf_element(const LeafElement& element, std::string& out);
void append_bucket_header(const BucketHeader& bucket, std::string& out);
void append_meta(const Meta& meta, std::string& out);

}  // namespace quorate::storage::bolt
