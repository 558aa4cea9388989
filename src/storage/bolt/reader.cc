#include "storage/bolt/reader.h"

#include <algorithm>

namespace quorate::storage::bolt {

// One walk over a tree.
struct Reader::Walk {
  // With the flags of the element; false: stop.
  std::function<bool(std::string_view key, std::string_view value, uint32_t flags)> visit;
  std::vector<bool> seen;  // pages; none belongs to two places
  std::string last;        // key
  bool any = false;
  bool stopped = false;
};

namespace {

// The part of a page that an element speaks of; nullopt: it reaches out of the page, or into the
// elements.
std::optional<std::string_view> part(std::string_view page, size_t element, size_t elements_end,
                                     uint64_t position, uint64_t size) {
  const uint64_t begin = element + position;
  if (begin < elements_end || begin > page.size() || size > page.size() - begin) {
    return std::nullopt;
  }
  return page.substr(static_cast<size_t>(begin), static_cast<size_t>(size));
}

bool is_page_size(uint64_t size) {
  return size >= kPageBytesMin && size <= kPageBytesMax && (size & (size - 1)) == 0;
}

}  // namespace

std::unexpected<Error> Reader::damaged(uint64_t page, const std::string& what) const {
  return fail(ErrorKind::corrupt, name_ + " is damaged or is no etcd database: page " +
                                      std::to_string(page) + " " + what +
                                      "; take another snapshot, or an older one");
}

Result<std::string> Reader::read(uint64_t offset, uint64_t size) const {
  std::string bytes(static_cast<size_t>(size), '\0');
  const auto got = file_->read_at(offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  if (!got) return std::unexpected(got.error());
  bytes.resize(*got);
  return bytes;
}

Result<void> Reader::load_meta(uint64_t bytes) {
  const auto take = [&](uint64_t offset, std::optional<Meta>& meta) -> Result<void> {
    if (offset + kHeaderBytes + kMetaBytes > bytes) return {};
    const auto read_back = read(offset + kHeaderBytes, kMetaBytes);
    if (!read_back) return std::unexpected(read_back.error());
    meta = decode_meta(*read_back);
    if (meta && !is_page_size(meta->page_size)) meta.reset();
    return {};
  };
  std::optional<Meta> first;
  std::optional<Meta> second;
  if (auto taken = take(0, first); !taken) return taken;
  // Without the first nobody knows where the second lies: at the size that it names itself.
  for (uint64_t size = kPageBytesMin; size <= kPageBytesMax && !second; size *= 2) {
    if (first && size != first->page_size) continue;
    if (auto taken = take(size, second); !taken) return taken;
    if (second && second->page_size != size) second.reset();
  }
  if (!first && !second) {
    return fail(ErrorKind::corrupt,
                name_ +
                    " is no etcd database, or the beginning of one is damaged: neither of its two "
                    "first pages is valid; take another snapshot, or an older one");
  }
  meta_ = !first || (second && second->transaction > first->transaction) ? *second : *first;
  if (meta_.page_count > bytes / meta_.page_size) {
    return fail(ErrorKind::corrupt, name_ + " is cut short: it has " + std::to_string(bytes) +
                                        " bytes of " + std::to_string(meta_.page_count) +
                                        " pages of " + std::to_string(meta_.page_size) +
                                        "; copy it again, or take another snapshot");
  }
  return {};
}

Result<std::string> Reader::read_page(uint64_t id) const {
  if (id < 2 || id >= meta_.page_count) return damaged(id, "is referred to and outside of it");
  const auto head = read(id * meta_.page_size, kHeaderBytes);
  if (!head) return head;
  if (head->size() < kHeaderBytes) return damaged(id, "cannot be read");
  const PageHeader header = decode_page_header(*head);
  if (header.id != id) return damaged(id, "calls itself " + std::to_string(header.id));
  const uint64_t pages = uint64_t{header.overflow} + 1;
  if (pages > meta_.page_count - id || pages * meta_.page_size > kPageRunBytesMax) {
    return damaged(id, "is larger than can be");
  }
  auto page = read(id * meta_.page_size, pages * meta_.page_size);
  if (page && page->size() < pages * meta_.page_size) return damaged(id, "cannot be read");
  return page;
}

Result<void> Reader::walk(Walk& walk, const Place& place) const {
  if (place.depth > kDepthMax) return damaged(place.page, "is too deep in its tree");
  auto page = read_page(place.page);
  if (!page) return std::unexpected(page.error());
  for (uint64_t i = 0; i < page->size() / meta_.page_size; ++i) {
    if (walk.seen[static_cast<size_t>(place.page + i)]) {
      return damaged(place.page + i, "belongs to two places");
    }
    walk.seen[static_cast<size_t>(place.page + i)] = true;
  }
  const PageHeader header = decode_page_header(*page);
  if (header.flags == kBranch) return walk_branch(walk, place, *page);
  if (header.flags == kLeaf) return walk_leaf(walk, place, *page);
  return damaged(place.page, "is neither branch nor leaf");
}

Result<void> Reader::walk_leaf(Walk& walk, const Place& place, std::string_view page) const {
  const PageHeader header = decode_page_header(page);
  const size_t end = kHeaderBytes + header.count * kElementBytes;
  if (end > page.size()) return damaged(place.page, "has more rows than room");
  if (place.named && header.count == 0) return damaged(place.page, "is an empty leaf");
  for (size_t i = 0; i < header.count; ++i) {
    const size_t at = kHeaderBytes + i * kElementBytes;
    const LeafElement element = decode_leaf_element(page.substr(at));
    const auto key = part(page, at, end, element.position, element.key_size);
    const auto value =
        part(page, at, end, uint64_t{element.position} + element.key_size, element.value_size);
    if (!key || !value || key->empty() || key->size() > kKeyBytesMax) {
      return damaged(place.page, "has a row that reaches out of it");
    }
    if (i == 0 && place.named && *key != place.expected) {
      return damaged(place.page, "does not begin with the key that its parent has for it");
    }
    if (walk.any && *key <= walk.last) return damaged(place.page, "has keys out of order");
    walk.any = true;
    walk.last = *key;
    if (!walk.visit(*key, *value, element.flags)) {
      walk.stopped = true;
      return {};
    }
  }
  return {};
}

Result<void> Reader::walk_branch(Walk& walk_state, const Place& place,
                                 std::string_view page) const {
  const PageHeader header = decode_page_header(page);
  const size_t end = kHeaderBytes + header.count * kElementBytes;
  if (header.count == 0 || end > page.size()) {
    return damaged(place.page, "has no children or more than room");
  }
  for (size_t i = 0; i < header.count && !walk_state.stopped; ++i) {
    const size_t at = kHeaderBytes + i * kElementBytes;
    const BranchElement element = decode_branch_element(page.substr(at));
    const auto key = part(page, at, end, element.position, element.key_size);
    if (!key || key->empty() || key->size() > kKeyBytesMax) {
      return damaged(place.page, "has a child whose key reaches out of it");
    }
    if (i == 0 && place.named && *key != place.expected) {
      return damaged(place.page, "does not begin with the key that its parent has for it");
    }
    if (auto walked = walk(walk_state, {element.page, place.depth + 1, *key, true}); !walked) {
      return walked;
    }
  }
  return {};
}

Result<void> Reader::load_buckets() {
  Walk state;
  state.seen.resize(static_cast<size_t>(meta_.page_count));
  const char* wrong = nullptr;
  state.visit = [&](std::string_view name, std::string_view value, uint32_t flags) {
    if (flags != kBucketElement || value.size() < kBucketBytes) wrong = "has what is no bucket";
    if (buckets_.size() >= kBucketsMax) wrong = "has too many buckets";
    if (wrong != nullptr) return false;
    Bucket bucket;
    bucket.root = decode_bucket_header(value).root;
    if (bucket.root == 0) {
      bucket.inlined = value.substr(kBucketBytes);
      if (bucket.inlined.size() < kHeaderBytes) wrong = "has a bucket that is cut short";
    }
    buckets_.emplace(name, std::move(bucket));
    return wrong == nullptr;
  };
  if (auto walked = walk(state, {meta_.root.root, 0, {}, false}); !walked) return walked;
  if (wrong != nullptr) return damaged(meta_.root.root, wrong);
  return {};
}

Result<Reader> Reader::open(world::File& file, const std::string& name, uint64_t bytes) {
  Reader reader(file, name);
  if (auto loaded = reader.load_meta(bytes); !loaded) return std::unexpected(loaded.error());
  if (auto loaded = reader.load_buckets(); !loaded) return std::unexpected(loaded.error());
  return reader;
}

std::vector<std::string> Reader::buckets() const {
  std::vector<std::string> names;
  for (const auto& [name, bucket] : buckets_) names.push_back(name);
  return names;
}

Result<void> Reader::scan(std::string_view bucket, const Visitor& visit) const {
  const auto found = buckets_.find(bucket);
  if (found == buckets_.end()) return {};
  Walk state;
  bool nested = false;
  state.visit = [&](std::string_view key, std::string_view value, uint32_t flags) {
    nested = flags != 0;
    return !nested && visit(key, value);
  };
  Result<void> walked;
  if (found->second.root == 0) {
    const std::string& page = found->second.inlined;
    if (decode_page_header(page).flags != kLeaf) {
      return damaged(meta_.root.root, "has a bucket inside that is no leaf");
    }
    walked = walk_leaf(state, {meta_.root.root, 0, {}, false}, page);
  } else {
    state.seen.resize(static_cast<size_t>(meta_.page_count));
    walked = walk(state, {found->second.root, 0, {}, false});
  }
  if (!walked) return walked;
  if (nested) {
    return damaged(found->second.root, "has a bucket within the bucket " + std::string(bucket));
  }
  return {};
}

}  // namespace quorate::storage::bolt
