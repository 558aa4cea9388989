// front/etcd/test_responses.h: for tests: the messages of a stream's answer, all of them whole.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "front/grpc/call.h"
#include "front/grpc/limits.h"
#include "front/grpc/test_client.h"

namespace quorate::front::etcd {

template <class Response>
std::vector<Response> responses_of(const grpc::TestAnswer& answer) {
  std::vector<Response> list;
  std::string_view rest = answer.body;
  while (!rest.empty()) {
    const grpc::MessageFrame frame = grpc::read_message_frame(rest);
    EXPECT_TRUE(frame.complete);
    if (!frame.complete) break;
    EXPECT_TRUE(list.emplace_back().ParseFromArray(frame.message.data(),
                                                   static_cast<int>(frame.message.size())));
    rest.remove_prefix(grpc::kMessagePrefixBytes + frame.size);
  }
  return list;
}

}  // namespace quorate::front::etcd
