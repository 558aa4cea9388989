// txn: a transaction from stdin.
#include <array>
#include <functional>
#include <iostream>

#include "app/commands.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/json.h"
#include "app/output.h"
#include "app/txn_text.h"

namespace quorate::app {
namespace {

namespace etcd = machine::etcd;

struct Printer {
  void operator()(const std::monostate&) const {}
  void operator()(const etcd::RangeResponse& response) const {
    for (const auto& pair : response.kvs) {
      std::cout << printable(pair.key) << "  " << printable(pair.value) << '\n';
    }
    std::cout << "(" << response.count << " found)\n";
  }
  void operator()(const etcd::PutResponse&) const { std::cout << "OK\n"; }
  void operator()(const etcd::DeleteRangeResponse& response) const {
    std::cout << response.deleted << " deleted\n";
  }
  void operator()(const etcd::TxnResponse& response) const {
    for (const auto& each : response.responses) std::visit(*this, each.response);
  }
};

}  // namespace

int run_txn(const Common& common, bool interactive) {
  if (!etcdctl::check_format(common, etcdctl::Extra::protobuf)) return kExitUsage;
  const auto ask = [](int block) {
    static constexpr std::array prompts = {
        "compares:", "success requests (get, put, del):", "failure requests (get, put, del):"};
    std::cout << prompts.at(static_cast<size_t>(block)) << '\n' << std::flush;
  };
  auto parsed = parse_txn(std::cin, interactive ? ask : std::function<void(int)>());
  if (!parsed) {
    complain(parsed.error().text);
    return kExitUsage;
  }
  std::string wire;
  etcd::encode(parsed->request, wire);
  const Response response = Session(common).write(kPathTxn, wire);
  if (response.verdict != Verdict::done) return report(response, true);
  if (!common.write_out.empty()) return etcdctl::show_txn(common, response.body);
  const auto decoded = etcd::decode_txn_response(response.body);
  if (!decoded) {
    complain("the server's answer cannot be decoded; is this an etcd v3 endpoint?");
    return kExitRefused;
  }
  if (common.json) {
    std::cout << txn_json(*decoded) << '\n';
    return kExitOk;
  }
  std::cout << (decoded->succeeded ? "SUCCESS" : "FAILURE") << ", revision "
            << decoded->header.revision << '\n';
  Printer{}(*decoded);
  return kExitOk;
}

}  // namespace quorate::app
