// Messages of Stan's services on the console, in the form CmdStanPy expects.
//
// CmdStanPy shows its user the console lines that begin with `Er` or `Ex`, as the
// reason of a failure or else as a warning. So a failure ends in one such line that
// holds every message of it, and rejections in a healthy warmup are indented.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_CONSOLE_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_CONSOLE_HPP

#include "chains.hpp"

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/logger.hpp>

#include <cstdlib>
#include <string>
#include <utility>

namespace pyrobma {

class Console final : public stan::callbacks::logger {
 public:
  using Text = const std::string&;
  using Stream = const std::stringstream&;

  // `label` names the chain, if there are several, as in `Chain [2]`.
  explicit Console(std::string label = "") : label_(std::move(label)) {}

  void debug(Text message) override;
  void info(Text message) override;
  void warn(Text message) override;
  void error(Text message) override;
  void fatal(Text message) override;
  void debug(Stream message) override { debug(message.str()); }
  void info(Stream message) override { info(message.str()); }
  void warn(Stream message) override { warn(message.str()); }
  void error(Stream message) override { error(message.str()); }
  void fatal(Stream message) override { fatal(message.str()); }

  // Rejections from now on belong to the sample; before, to initialisation and warmup.
  void end_warmup() { is_warmup_ = false; }

  // Print the line that tells why the run failed: what was logged, and `reason`.
  void report_failure(const std::string& reason = "");

  // Print the errors of a run that succeeded all the same.
  void report_success();

 private:
  std::string label_;
  bool is_warmup_ = true;
  bool is_informational_ = false;
  std::string errors_;     // on one line
  std::string rejection_;  // why the last initial value was rejected, on one line
};

// Tells the console when the iterations of the warmup have passed, and ends a chain
// whose command was ended.
class Progress final : public stan::callbacks::interrupt {
 public:
  Progress(Console& console, int num_warmup)
      : console_(console), remaining_(num_warmup) {}

  // Called by the services at the start of every iteration.
  void operator()() override {
    if (is_abandoned()) std::_Exit(1);
    if (remaining_-- == 0) console_.end_warmup();
  }

 private:
  Console& console_;
  long long remaining_;
};

}  // namespace pyrobma

#endif
