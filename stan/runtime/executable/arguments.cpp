#include "arguments.hpp"

#include <cctype>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <sstream>
#include <thread>
#include <utility>

namespace pyrobma {

namespace {

// One argument: a section of others, a choice between sections, or a value.
struct Node {
  enum class Kind { section, choice, value };

  std::string name;
  Kind kind = Kind::section;
  // Of a section its arguments; of a choice one section per legal word.
  std::vector<Node> children = {};
  // A word that stands for itself has no line of its own in the config.
  bool is_bare_word = false;
  std::function<bool(const std::string&)> read = {};
  std::function<std::string()> text = {};
  std::string legal = {};
  std::string default_text = {};
  bool is_seen = false;
};

bool read_integer(const std::string& text, long long& value) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoll(text.c_str(), &end, 10);
  return errno == 0 && *end == '\0';
}

std::string format_number(double value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

Node finish(Node node) {
  node.default_text = node.text();
  return node;
}

template <typename Integer>
Node integer(const std::string& name, Integer& target, long long lowest,
             long long highest = INT_MAX) {
  Node node{name, Node::Kind::value};
  node.legal = highest == INT_MAX || highest == UINT_MAX
                   ? "an integer, at least " + std::to_string(lowest)
                   : "an integer from " + std::to_string(lowest) + " to " +
                         std::to_string(highest);
  node.read = [&target, lowest, highest](const std::string& text) {
    long long value = 0;
    if (!read_integer(text, value) || value < lowest || value > highest) return false;
    target = static_cast<Integer>(value);
    return true;
  };
  node.text = [&target] { return std::to_string(target); };
  return finish(std::move(node));
}

Node real(const std::string& name, double& target, const std::string& legal,
          bool (*is_legal)(double)) {
  Node node{name, Node::Kind::value};
  node.legal = legal;
  node.read = [&target, is_legal](const std::string& text) {
    double value = 0;
    if (!read_number(text, value) || !std::isfinite(value) || !is_legal(value)) {
      return false;
    }
    target = value;
    return true;
  };
  node.text = [&target] { return format_number(target); };
  return finish(std::move(node));
}

Node positive(const std::string& name, double& target) {
  return real(name, target, "a finite number above 0", [](double x) { return x > 0; });
}

Node boolean(const std::string& name, bool& target) {
  Node node{name, Node::Kind::value};
  node.legal = "0 or 1";
  node.read = [&target](const std::string& text) {
    const bool is_true = text == "1" || text == "true";
    if (!is_true && text != "0" && text != "false") return false;
    target = is_true;
    return true;
  };
  node.text = [&target] { return std::string(target ? "true" : "false"); };
  return finish(std::move(node));
}

Node string(const std::string& name, std::string& target, const std::string& legal) {
  Node node{name, Node::Kind::value};
  node.legal = legal;
  node.read = [&target](const std::string& text) {
    target = text;
    return true;
  };
  node.text = [&target] { return target; };
  return finish(std::move(node));
}

Node section(const std::string& name, std::vector<Node> children) {
  return Node{name, Node::Kind::section, std::move(children)};
}

Node word(const std::string& name) {
  Node node{name};
  node.is_bare_word = true;
  return node;
}

Node choice(const std::string& name, std::string& target, std::vector<Node> words) {
  Node node{name, Node::Kind::choice, std::move(words)};
  for (const Node& legal : node.children) {
    node.legal += (node.legal.empty() ? "" : ", ") + legal.name;
  }
  node.text = [&target] { return target; };
  node.read = [&target](const std::string& text) {
    target = text;
    return true;
  };
  return finish(std::move(node));
}

// The clock seeds a run that names no seed, as `seed=-1` does.
unsigned int clock_seed() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<unsigned int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

Node seed(unsigned int& target) {
  Node node = integer("seed", target, -1, UINT_MAX);
  node.default_text = "-1";
  node.legal = "an integer from 0 to 4294967295, or -1 for the clock";
  const auto read = node.read;
  node.read = [read, &target](const std::string& text) {
    const unsigned int from_clock = target;
    if (!read(text)) return false;
    if (text[0] == '-') target = from_clock;
    return true;
  };
  return node;
}

std::vector<Node> quasi_newton(Optimization& optimize) {
  return {positive("init_alpha", optimize.init_alpha),
          positive("tol_obj", optimize.tol_obj),
          positive("tol_rel_obj", optimize.tol_rel_obj),
          positive("tol_grad", optimize.tol_grad),
          positive("tol_rel_grad", optimize.tol_rel_grad),
          positive("tol_param", optimize.tol_param)};
}

Node sample_section(Sampling& sample) {
  Adaptation& adapt = sample.adapt;
  const auto is_delta = [](double x) { return x >= 0.1 && x < 1; };
  const auto is_fraction = [](double x) { return x >= 0 && x <= 1; };
  return section(
      "sample",
      {integer("num_samples", sample.num_samples, 0),
       integer("num_warmup", sample.num_warmup, 0),
       boolean("save_warmup", sample.save_warmup), integer("thin", sample.thin, 1),
       section("adapt",
               {boolean("engaged", adapt.engaged), positive("gamma", adapt.gamma),
                real("delta", adapt.delta, "a number in [0.1, 1)", is_delta),
                positive("kappa", adapt.kappa), positive("t0", adapt.t0),
                integer("init_buffer", adapt.init_buffer, 0, UINT_MAX),
                integer("term_buffer", adapt.term_buffer, 0, UINT_MAX),
                integer("window", adapt.window, 0, UINT_MAX),
                boolean("save_metric", adapt.save_metric)}),
       choice("algorithm", sample.algorithm,
              {section("hmc",
                       {choice("engine", sample.engine,
                               {section("nuts", {integer("max_depth", sample.max_depth,
                                                         1)})}),
                        choice("metric", sample.metric,
                               {word("unit_e"), word("diag_e"), word("dense_e")}),
                        string("metric_file", sample.metric_file,
                               "a JSON file with inv_metric"),
                        positive("stepsize", sample.stepsize),
                        real("stepsize_jitter", sample.stepsize_jitter,
                             "a number in [0, 1]", is_fraction)}),
               word("fixed_param")}),
       integer("num_chains", sample.num_chains, 1)});
}

Node optimize_section(Optimization& optimize) {
  std::vector<Node> lbfgs = quasi_newton(optimize);
  lbfgs.push_back(integer("history_size", optimize.history_size, 1));
  return section("optimize",
                 {choice("algorithm", optimize.algorithm,
                         {section("bfgs", quasi_newton(optimize)),
                          section("lbfgs", std::move(lbfgs)), section("newton", {})}),
                  boolean("jacobian", optimize.jacobian),
                  integer("iter", optimize.iter, 1),
                  boolean("save_iterations", optimize.save_iterations)});
}

Node generate_section(Generation& generate) {
  return section("generate_quantities",
                 {string("fitted_params", generate.fitted_params,
                         "the CSV file of a fit"),
                  integer("num_chains", generate.num_chains, 1)});
}

Node thread_count(int& target) {
  Node node = integer("num_threads", target, -1);
  node.legal = "chains to run at a time, at least 1, or -1 for one per processor";
  const auto read = node.read;
  node.read = [read, &target](const std::string& text) {
    return read(text) && target != 0;
  };
  return node;
}

// The whole tree; its nodes refer to `arguments`, which must outlive it.
Node argument_tree(Arguments& arguments) {
  return section(
      "",
      {choice("method", arguments.method,
              {sample_section(arguments.sample), optimize_section(arguments.optimize),
               generate_section(arguments.generate)}),
       integer("id", arguments.id, 0, UINT_MAX),
       section("data", {string("file", arguments.data_file, "a JSON file")}),
       string("init", arguments.init,
              "the radius of random initial values, or a JSON file"),
       section("random", {seed(arguments.seed)}),
       section("output",
               {string("file", arguments.output_file, "a path"),
                string("diagnostic_file", arguments.diagnostic_file, "a path"),
                integer("refresh", arguments.refresh, 0),
                integer("sig_figs", arguments.sig_figs, -1, 18),
                string("profile_file", arguments.profile_file, "ignored"),
                boolean("save_cmdstan_config", arguments.save_cmdstan_config)}),
       thread_count(arguments.num_threads)});
}

[[noreturn]] void refuse_value(const Node& node, const std::string& text) {
  std::string message =
      text + " is not a valid value for \"" + node.name + "\"; expected ";
  message += node.kind == Node::Kind::choice ? "one of " + node.legal : node.legal;
  throw ArgumentError(message);
}

Node& select(Node& choice, const std::string& name) {
  for (Node& child : choice.children) {
    if (child.name == name) return child;
  }
  refuse_value(choice, name);
}

// The method may stand without `method=`.
std::string complete_method(const Node& root, const std::string& token) {
  for (const Node& method : root.children.front().children) {
    if (token == method.name) return "method=" + token;
  }
  return token;
}

bool is_help(const std::string& token) {
  return token == "help" || token == "help-all";
}

void write_help(const Node& node, int depth, std::string& text) {
  // The root of the tree has no name.
  if (!node.name.empty()) {
    text += std::string(2 * depth, ' ') + node.name;
    if (node.kind != Node::Kind::section) {
      text += "=" + node.default_text + "  (" + node.legal + ")";
    }
    text += "\n";
    ++depth;
  }
  for (const Node& child : node.children) {
    if (!child.is_bare_word) write_help(child, depth, text);
  }
}

// Read the tokens from `next` that belong to `parent`; `next` is left at the first one
// that does not. At `help`, return what is known of the argument before it.
std::string read_section(Node& parent, const std::vector<std::string>& tokens,
                         size_t& next) {
  std::string help;
  while (next < tokens.size() && help.empty()) {
    const std::string& token = tokens[next];
    if (is_help(token)) {
      write_help(parent, 0, help);
      break;
    }
    const size_t equals = token.find('=');
    const bool has_value = equals != std::string::npos;
    const std::string name = token.substr(0, equals);
    Node* known = nullptr;
    for (Node& child : parent.children) {
      if (child.name != name) continue;
      const bool takes_value = child.kind != Node::Kind::section;
      if (takes_value == has_value) {
        known = &child;
      } else if (takes_value && next + 1 < tokens.size() && is_help(tokens[next + 1])) {
        write_help(child, 0, help);
        return help;
      }
    }
    if (known == nullptr) break;
    if (known->is_seen) {
      throw ArgumentError("\"" + token + "\": the argument \"" + name +
                          "\" is given twice");
    }
    known->is_seen = true;
    ++next;
    if (known->kind == Node::Kind::section) {
      help = read_section(*known, tokens, next);
      continue;
    }
    const std::string text = token.substr(equals + 1);
    if (known->kind == Node::Kind::choice) {
      Node& chosen = select(*known, text);
      known->read(text);
      help = read_section(chosen, tokens, next);
    } else if (!known->read(text)) {
      refuse_value(*known, text);
    }
  }
  return help;
}

void write_config(const Node& node, int depth, std::vector<std::string>& lines) {
  const std::string indent(2 * depth, ' ');
  if (node.kind == Node::Kind::section) {
    lines.push_back(indent + node.name);
    for (const Node& child : node.children) write_config(child, depth + 1, lines);
    return;
  }
  const std::string text = node.text();
  lines.push_back(indent + node.name + " = " + text +
                  (!node.is_seen || text == node.default_text ? " (Default)" : ""));
  if (node.kind != Node::Kind::choice) return;
  for (const Node& child : node.children) {
    const bool is_chosen = child.name == text;
    if (is_chosen && !child.is_bare_word) write_config(child, depth + 1, lines);
  }
}

// Methods and options of CmdStan that this runtime knows of but does not have.
void refuse_unsupported(const std::vector<std::string>& tokens) {
  static const char* const methods[] = {"laplace", "pathfinder", "variational",
                                        "log_prob", "diagnose"};
  for (const std::string& token : tokens) {
    for (const std::string method : methods) {
      if (token == method || token == "method=" + method) {
        throw ArgumentError("method \"" + method +
                            "\" is not part of this executable; it supports "
                            "\"sample\", \"optimize\" and \"generate_quantities\"");
      }
    }
    if (token == "engine=static") {
      throw ArgumentError(
          "engine \"static\" is not part of this executable; it supports \"nuts\"");
    }
  }
}

void check_path(const std::string& argument, const std::string& path) {
  if (path.empty() || path.back() == '/') {
    throw ArgumentError(argument + ": expected the path of a file; got " +
                        (path.empty() ? "an empty value" : "\"" + path + "\""));
  }
}

void check_combination(const Arguments& arguments) {
  if (arguments.num_chains() - 1 > UINT_MAX - arguments.id) {
    throw ArgumentError("num_chains=" + std::to_string(arguments.num_chains()) +
                        ": the ids of the chains, from " +
                        std::to_string(arguments.id) +
                        " on, must stay below 4294967296");
  }
  if (arguments.method == "sample" && arguments.sample.adapt.save_metric &&
      !arguments.sample.adapt.engaged) {
    throw ArgumentError(
        "save_metric=1: there is an adapted metric only while adaptation is engaged; "
        "set engaged=1 or save_metric=0");
  }
  if (arguments.method == "generate_quantities") {
    check_path("fitted_params", arguments.generate.fitted_params);
  }
  if (arguments.save_cmdstan_config) {
    throw ArgumentError(
        "save_cmdstan_config=1 is not supported; the CSV file begins with the "
        "configuration");
  }
  double radius = 0;
  if (read_number(arguments.init, radius) && !(radius >= 0 && std::isfinite(radius))) {
    throw ArgumentError(arguments.init +
                        " is not a valid value for \"init\"; expected a finite radius "
                        "of at least 0, or the path of a JSON file");
  }
  check_path("output file", arguments.output_file);
  if (!arguments.diagnostic_file.empty()) {
    check_path("diagnostic_file", arguments.diagnostic_file);
  }
}

// How many chains may run at a time; null: as the environment says.
int count_at_once(const int* num_threads) {
  int count = 1;
  if (num_threads != nullptr) {
    count = *num_threads;
  } else if (const char* text = std::getenv("STAN_NUM_THREADS")) {
    Node node = thread_count(count);
    node.name = "STAN_NUM_THREADS";
    if (!node.read(text)) refuse_value(node, text);
  }
  if (count > 0) return count;
  const unsigned int processors = std::thread::hardware_concurrency();
  return processors > 0 ? static_cast<int>(processors) : 1;
}

}  // namespace

bool read_number(const std::string& text, double& value) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return false;
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return *end == '\0';
}

Arguments parse_arguments(const std::vector<std::string>& tokens) {
  refuse_unsupported(tokens);
  Arguments arguments;
  arguments.seed = clock_seed();
  Node root = argument_tree(arguments);
  std::vector<std::string> completed;
  for (const std::string& token : tokens) {
    completed.push_back(complete_method(root, token));
  }
  size_t next = 0;
  arguments.help = read_section(root, completed, next);
  if (!arguments.help.empty()) return arguments;
  if (next < completed.size()) {
    throw ArgumentError("\"" + tokens[next] + "\" is not an argument that is known " +
                        (next == 0 ? "at the start of the command line"
                                   : "after \"" + tokens[next - 1] + "\"") +
                        "; `help` lists the arguments");
  }
  check_combination(arguments);
  if (arguments.num_chains() > 1) {
    const Node& num_threads = root.children.back();
    arguments.chains_at_once =
        count_at_once(num_threads.is_seen ? &arguments.num_threads : nullptr);
  }
  for (const Node& child : root.children) write_config(child, 0, arguments.config);
  return arguments;
}

std::string describe_arguments() {
  Arguments arguments;
  const Node root = argument_tree(arguments);
  std::string text;
  write_help(root, 0, text);
  return text;
}

}  // namespace pyrobma
