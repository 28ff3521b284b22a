#include "console.hpp"

#include <cctype>
#include <iostream>

namespace pyrobma {

namespace {

bool starts_with(const std::string& text, const char* start) {
  return text.rfind(start, 0) == 0;
}

bool is_shown_to_user(const std::string& message) {
  return starts_with(message, "Er") || starts_with(message, "Ex");
}

// Append the words of a message, which may have several lines, with single blanks.
void append_words(std::string& line, const std::string& message) {
  bool is_gap = !line.empty();
  for (const char character : message) {
    if (std::isspace(static_cast<unsigned char>(character))) {
      is_gap = !line.empty();
      continue;
    }
    if (is_gap) line += ' ';
    is_gap = false;
    line += character;
  }
}

}  // namespace

void Console::debug(Text message) { info(message); }

void Console::info(Text message) {
  const bool is_labelled = !label_.empty() && starts_with(message, "Iteration:");
  std::cout << (is_labelled ? label_ + " " : "") + message << std::endl;
}

void Console::warn(Text message) {
  // Stan warns of one thing only: an initial value that it rejects.
  if (starts_with(message, "Rejecting initial value")) {
    rejection_.clear();
  } else {
    append_words(rejection_, message);
  }
  info(is_shown_to_user(message) ? "  " + message : message);
}

void Console::error(Text message) {
  if (starts_with(message, "Informational Message")) is_informational_ = true;
  if (!is_informational_) {
    append_words(errors_, message);
    return;
  }
  info(is_warmup_ && is_shown_to_user(message) ? "  " + message : message);
  if (message.empty()) is_informational_ = false;
}

void Console::fatal(Text message) { error(message); }

void Console::report_failure(const std::string& reason) {
  std::string line = errors_;
  append_words(line, reason);
  if (!rejection_.empty() && line.find("Initialization failed") != std::string::npos) {
    append_words(line, "Last rejection: " + rejection_);
  }
  if (line.empty()) line = "the run failed without a message";
  if (!label_.empty()) line = label_ + ": " + line;
  std::cout << std::flush;
  std::cerr << (is_shown_to_user(line) ? "" : "Error: ") + line + "\n" << std::flush;
}

void Console::report_success() {
  if (!errors_.empty()) std::cerr << errors_ + "\n" << std::flush;
}

}  // namespace pyrobma
