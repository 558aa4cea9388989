#include "front/etcd/range_stream_service.h"

#include <algorithm>

#include "front/etcd/request_checks.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::RangePiece;
using machine::etcd::RangeRequest;

namespace {

// About so much waits for a client at a time. Reading it takes about a millisecond, which others
// do not notice; a message's head is nothing beside it.
constexpr uint64_t kPieceBytes = uint64_t{512} << 10U;
// Each may keep a piece waiting, with values of the largest size 2 MiB: 512 MiB in all.
constexpr size_t kStreamsMax = 256;

constexpr auto kAscend = static_cast<int32_t>(machine::etcd::SortOrder::ascend);
constexpr auto kUnordered = static_cast<int32_t>(machine::etcd::SortOrder::none);
constexpr auto kByKey = static_cast<int32_t>(machine::etcd::SortTarget::key);

// A target without an order sorts nothing: etcd 3.7.
bool in_order_of_keys(const RangeRequest& request) {
  return request.sort_order == kUnordered ||
         (request.sort_order == kAscend && request.sort_target == kByKey);
}

bool has_filters(const RangeRequest& request) {
  return request.min_mod_revision != 0 || request.max_mod_revision != 0 ||
         request.min_create_revision != 0 || request.max_create_revision != 0;
}

}  // namespace

RangeStreamService::RangeStreamService(Api& api) : api_(api), paced_(api) {
  api_.server().add_stream("etcdserverpb.KV", "RangeStream", *this);
}

RangeStreamService::Stream* RangeStreamService::find(CallId call) {
  const auto found = std::ranges::find_if(
      streams_, [&](const std::unique_ptr<Stream>& each) { return each->call == call; });
  return found == streams_.end() ? nullptr : found->get();
}

// A learner serves no streams but snapshots.
void RangeStreamService::on_open(CallId call) { api_.admit(call); }

std::optional<ApiError> RangeStreamService::check(const RangeRequest& request) const {
  if (const auto error = check_range(request)) return error;
  if (!in_order_of_keys(request)) return ApiError::range_stream_sorted;
  if (has_filters(request)) return ApiError::range_stream_filtered;
  if (streams_.size() >= kStreamsMax) return ApiError::too_many_requests;
  return std::nullopt;
}

void RangeStreamService::on_message(CallId call, std::string_view message) {
  if (find(call) != nullptr) return;  // the request is one message
  auto stream = std::make_unique<Stream>();
  stream->call = call;
  stream->message = message;
  const auto request = machine::etcd::decode_range_request(stream->message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (const auto error = check(*request)) return api_.refuse(call, *error);
  stream->request = *request;
  stream->limit = request->count_only ? 0 : std::max<int64_t>(request->limit, 0);
  const bool local = request->serializable;
  streams_.push_back(std::move(stream));
  paced_.add(call);
  if (local) return begin(call, std::nullopt);
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(),
                                                    call](std::optional<node::RefusedWhy> why) {
    if (tether.get() != nullptr) begin(call, why);  // this service lives as long as the Api
  });
}

void RangeStreamService::begin(CallId call, std::optional<node::RefusedWhy> why) {
  if (find(call) == nullptr) return;
  if (why) return api_.refuse(call, api_.refusal(call, *why));
  send_next(call);
}

// What the caller may is asked before each piece: a right that was taken away is away.
void RangeStreamService::send_next(CallId call) {
  Stream* stream = find(call);
  if (stream == nullptr) return;
  const machine::etcd::EtcdMachine* machine = api_.machine();
  if (machine == nullptr) return api_.refuse(call, ApiError::unhealthy);
  RangeRequest& request = stream->request;
  const auto denied =
      api_.denied_range(call, request.key, request.range_end, machine::etcd::Access::read);
  if (denied) return api_.refuse(call, *denied);
  if (stream->revision == 0) {
    stream->revision = machine->revisions().current;
    if (request.revision <= 0) request.revision = stream->revision;
  }
  RangePiece piece;
  const machine::etcd::Code code = machine->range_piece(request, kPieceBytes, piece);
  if (const auto error = error_of_reply(static_cast<uint16_t>(code))) {
    return api_.refuse(call, *error);
  }
  send(*stream, std::move(piece));
}

// It goes on when all of it has left: on_writable().
void RangeStreamService::send(Stream& stream, RangePiece piece) {
  RangeRequest& request = stream.request;
  stream.sent += piece.count;
  std::string header;
  std::string records = std::move(piece.records);
  if (piece.finished) {
    api_.header().write(stream.revision, api_.service().round(), header);
    write_flag(3, stream.limit > 0 && piece.beyond > 0, records);
    write_number(4, static_cast<uint64_t>(stream.sent + piece.beyond), records);
  }
  std::string head;
  write_varint(1U << 3U | 2U, head);
  write_varint(header.size() + records.size(), head);
  head += header;
  const CallId call = stream.call;
  const Bytes body = Bytes::adopt(std::move(records));
  if (piece.finished) return api_.server().answer(call, head, body);
  // The first key behind the last one.
  stream.next_key = std::move(piece.last_key);
  stream.next_key.push_back('\0');
  request.key = stream.next_key;
  if (stream.limit > 0) {
    request.limit = stream.limit - stream.sent;
    request.count_only = request.limit == 0;  // what is beyond is still to be told
  }
  paced_.leaves(call);
  api_.server().send(call, head, body);
}

void RangeStreamService::on_writable(CallId call) {
  paced_.on_writable(call, [this, call] { send_next(call); });
}

void RangeStreamService::on_closed(CallId call) {
  paced_.remove(call);
  std::erase_if(streams_, [&](const std::unique_ptr<Stream>& each) { return each->call == call; });
}

void RangeStreamService::on_draining() { paced_.refuse_all(ApiError::stopped); }

}  // namespace quorate::front::etcd
