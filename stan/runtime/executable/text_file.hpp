// Text files: written in large pieces, with every error noticed.

#ifndef PYROBMA_RUNTIME_EXECUTABLE_TEXT_FILE_HPP
#define PYROBMA_RUNTIME_EXECUTABLE_TEXT_FILE_HPP

#include <chrono>
#include <string>

namespace pyrobma {

// The content of a file. `role` names it in the error, as in `data file`.
// Throws std::runtime_error with path and reason if it cannot be read.
std::string read_text_file(const std::string& role, const std::string& path);

// A text file that is written from its beginning.
//
// What is buffered reaches the file when there is enough of it, and a fraction of a
// second after the last time, so that an interrupted run leaves what it had drawn.
class TextFile {
 public:
  // `digits` are significant digits of numbers; -1 stands for 6.
  // Throws std::runtime_error with path and reason if it cannot be opened.
  TextFile(const std::string& role, const std::string& path, int digits);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  void append(const std::string& text) { buffer_ += text; }
  void append(char character) { buffer_ += character; }

  // A number as a C++ stream of this precision prints it.
  void append(double number);

  // End the line. Throws std::runtime_error if a write fails, as on a full disk.
  void end_line();

  // Write what is left. Throws std::runtime_error if that fails.
  void close();

 private:
  using Clock = std::chrono::steady_clock;

  void flush();
  [[noreturn]] void fail(const char* action) const;

  std::string role_;
  std::string path_;
  int digits_;
  int descriptor_;
  std::string buffer_;
  Clock::time_point last_flush_ = Clock::now();
};

}  // namespace pyrobma

#endif
