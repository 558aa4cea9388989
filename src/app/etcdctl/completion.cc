// completion: scripts for shells, made of the very commands and flags that are parsed.
#include <CLI/CLI.hpp>

#include "app/etcdctl/command_line.h"

namespace quorate::app::etcdctl {
namespace {

struct Place {
  std::string path;   // "lease grant"; empty: no command yet
  std::string words;  // that may come next, with blanks
};

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the commands are nested
void gather(const CLI::App& app, const std::string& path, const std::string& common,
            std::vector<Place>& places) {
  Place place{path, {}};
  for (const CLI::App* each : app.get_subcommands({})) place.words += each->get_name() + " ";
  for (const std::string& flag : flags_of(app)) place.words += flag + " ";
  place.words += common;
  places.push_back(place);
  for (const CLI::App* each : app.get_subcommands({})) {
    gather(*each, path + (path.empty() ? "" : " ") + each->get_name(), common, places);
  }
}

std::vector<Place> places_of(const CLI::App& app) {
  std::string common;
  for (const std::string& flag : flags_of(app)) common += flag + " ";
  std::vector<Place> places;
  gather(app, "", common, places);
  return places;
}

// Where we are: the longest chain of command names among the words before the cursor. What
// follows a flag may be its value, and is passed over unless it names a command.
std::string find_place(const std::vector<Place>& places, const std::string& words) {
  std::string known = "|";
  for (const Place& place : places) known += place.path + "|";
  std::string text = "  local place=\"\" word next\n  for word in " + words + "; do\n" +
                     "    next=\"${place:+$place }$word\"\n    case \"" + known +
                     "\" in *\"|$next|\"*) place=\"$next\" ;; esac\n  done\n" +
                     "  case \"$place\" in\n";
  for (const Place& place : places) {
    text += "    \"" + place.path + "\") next=\"" + place.words + "\" ;;\n";
  }
  return text + "  esac\n";
}

std::string bash_script(const CLI::App& app) {
  return "# bash completion for quorate\n_quorate() {\n" +
         find_place(places_of(app), "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\"") +
         "  COMPREPLY=($(compgen -W \"$next\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
         "complete -o default -F _quorate quorate\n";
}

std::string zsh_script(const CLI::App& app) {
  return "#compdef quorate\n_quorate() {\n" +
         find_place(places_of(app), "\"${(@)words[2,CURRENT-1]}\"") +
         "  compadd -- ${(s: :)next}\n  _files\n}\n"
         "if [ \"$funcstack[1]\" = \"_quorate\" ]; then _quorate; else compdef _quorate quorate; "
         "fi\n";
}

std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char letter : text) {
    if (letter == '\'' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + "'";
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the commands are nested
void add_fish(const CLI::App& app, const std::string& condition, std::string& out) {
  std::string names;
  for (const CLI::App* each : app.get_subcommands({})) names += each->get_name() + " ";
  const std::string none_yet =
      names.empty() ? "" : "; and not __fish_seen_subcommand_from " + names;
  for (const CLI::App* each : app.get_subcommands({})) {
    out += "complete -c quorate -f -n " + fish_quoted(condition + none_yet) + " -a " +
           each->get_name() + " -d " + fish_quoted(each->get_description()) + "\n";
    add_fish(*each, condition + "; and __fish_seen_subcommand_from " + each->get_name(), out);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      out += "complete -c quorate -n " + fish_quoted(condition) + " -l " + name + " -d " +
             fish_quoted(option->get_description()) + "\n";
    }
  }
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") return bash_script(app);
  if (shell == "zsh") return zsh_script(app);
  if (shell != "fish") return {};
  std::string out = "# fish completion for quorate\n";
  add_fish(app, "true", out);
  return out;
}

}  // namespace quorate::app::etcdctl
