// The one binary. Called by the name etcd it takes etcd's command line.
#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "app/export.h"
#include "app/import.h"
#include "app/serve.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  std::string_view called = argc > 0 ? argv[0] : "quorate";
  called = called.substr(called.rfind('/') + 1);  // npos + 1 is 0: no slash, the whole name
  if (called == "etcd") return quorate::app::serve_command(arguments, "etcd");
  if (!arguments.empty() && arguments[0] == "serve") {
    return quorate::app::serve_command({arguments.begin() + 1, arguments.end()}, "quorate");
  }
  if (!arguments.empty() && arguments[0] == "import") {
    return quorate::app::import_command({arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && arguments[0] == "export") {
    return quorate::app::export_command({arguments.begin() + 1, arguments.end()});
  }
  if (arguments.size() > 1 && arguments[0] == "snapshot" && arguments[1] == "restore") {
    return quorate::app::restore_command({arguments.begin() + 2, arguments.end()});
  }
  return quorate::app::command_line(argc, argv);
}
