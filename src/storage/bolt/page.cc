#include "storage/bolt/page.h"

#include "base/check.h"
#include "base/codec.h"

namespace quorate::storage::bolt {

namespace {

constexpr uint32_t kMagic = 0xed0cdaed;
constexpr uint32_t kVersion = 2;
constexpr size_t kChecksumAt = kMetaBytes - sizeof(uint64_t);

// FNV-1a, 64 bits.
uint64_t checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  return hash;
}

template <class Number>
void append(Number number, std::string& out) {
  for (size_t i = 0; i < sizeof(Number); ++i) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(number) >> 8 * i & 0xffU));
  }
}

uint16_t take_u16(Decoder& decoder) {
  const uint16_t low = decoder.u8();
  return static_cast<uint16_t>(low | decoder.u8() << 8U);
}

Decoder front(std::string_view bytes, size_t size) {
  CHECK(bytes.size() >= size, "the caller has looked how much there is");
  return Decoder(bytes.substr(0, size));
}

}  // namespace

PageHeader decode_page_header(std::string_view bytes) {
  Decoder decoder = front(bytes, kHeaderBytes);
  PageHeader header;
  header.id = decoder.u64();
  header.flags = take_u16(decoder);
  header.count = take_u16(decoder);
  header.overflow = decoder.u32();
  return header;
}

BranchElement decode_branch_element(std::string_view bytes) {
  Decoder decoder = front(bytes, kElementBytes);
  BranchElement element;
  element.position = decoder.u32();
  element.key_size = decoder.u32();
  element.page = decoder.u64();
  return element;
}

LeafElement decode_leaf_element(std::string_view bytes) {
  Decoder decoder = front(bytes, kElementBytes);
  LeafElement element;
  element.flags = decoder.u32();
  element.position = decoder.u32();
  element.key_size = decoder.u32();
  element.value_size = decoder.u32();
  return element;
}

BucketHeader decode_bucket_header(std::string_view bytes) {
  Decoder decoder = front(bytes, kBucketBytes);
  BucketHeader bucket;
  bucket.root = decoder.u64();
  bucket.sequence = decoder.u64();
  return bucket;
}

std::optional<Meta> decode_meta(std::string_view bytes) {
  if (bytes.size() < kMetaBytes) return std::nullopt;
  Decoder decoder = front(bytes, kMetaBytes);
  const uint32_t magic = decoder.u32();
  const uint32_t version = decoder.u32();
  Meta meta;
  meta.page_size = decoder.u32();
  decoder.u32();  // flags, never used
  meta.root.root = decoder.u64();
  meta.root.sequence = decoder.u64();
  meta.freelist = decoder.u64();
  meta.page_count = decoder.u64();
  meta.transaction = decoder.u64();
  const bool valid = magic == kMagic && version == kVersion &&
                     decoder.u64() == checksum(bytes.substr(0, kChecksumAt));
  return valid ? std::optional(meta) : std::nullopt;
}

void append_page_header(const PageHeader& header, std::string& out) {
  append(header.id, out);
  append(header.flags, out);
  append(header.count, out);
  append(header.overflow, out);
}

void append_branch_element(const BranchElement& element, std::string& out) {
  append(element.position, out);
  append(element.key_size, out);
  append(element.page, out);
}

void append_leaf_element(const LeafElement& element, std::string& out) {
  append(element.flags, out);
  append(element.position, out);
  append(element.key_size, out);
  append(element.value_size, out);
}

void append_bucket_header(const BucketHeader& bucket, std::string& out) {
  append(bucket.root, out);
  append(bucket.sequence, out);
}

void append_meta(const Meta& meta, std::string& out) {
  std::string bytes;
  append(kMagic, bytes);
  append(kVersion, bytes);
  append(meta.page_size, bytes);
  append(uint32_t{0}, bytes);
  append_bucket_header(meta.root, bytes);
  append(meta.freelist, bytes);
  append(meta.page_count, bytes);
  append(meta.transaction, bytes);
  append(checksum(bytes), bytes);
  out += bytes;
}

}  // namespace quorate::storage::bolt
