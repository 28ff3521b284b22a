#include "text_file.hpp"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace pyrobma {

namespace {

constexpr size_t enough_to_write = 1 << 16;
constexpr std::chrono::milliseconds longest_wait{200};

[[noreturn]] void fail_on(const char* action, const std::string& role,
                          const std::string& path) {
  const int code = errno;
  throw std::runtime_error(std::string("cannot ") + action + " the " + role + " \"" +
                           path + "\": " + std::strerror(code));
}

}  // namespace

std::string read_text_file(const std::string& role, const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_on("open", role, path);
  std::string content;
  char piece[1 << 14];
  while (true) {
    const ssize_t size = ::read(descriptor, piece, sizeof piece);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail_on("read", role, path);
    if (size == 0) break;
    content.append(piece, static_cast<size_t>(size));
  }
  ::close(descriptor);
  return content;
}

TextFile::TextFile(const std::string& role, const std::string& path, int digits)
    : role_(role),
      path_(path),
      digits_(digits < 0 ? 6 : digits),
      descriptor_(
          ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail("open");
  buffer_.reserve(enough_to_write + (1 << 12));
}

TextFile::~TextFile() {
  if (descriptor_ < 0) return;
  try {
    flush();
  } catch (const std::exception&) {
    // Only a run that has failed already gets here with text left.
  }
  ::close(descriptor_);
}

void TextFile::append(double number) {
  char text[64];
#ifdef __cpp_lib_to_chars
  const auto result = std::to_chars(text, text + sizeof text, number,
                                    std::chars_format::general, digits_);
  buffer_.append(text, result.ptr);
#else  // older standard libraries; the same text at three times the cost
  const int size = std::snprintf(text, sizeof text, "%.*g", digits_, number);
  buffer_.append(text, static_cast<size_t>(size));
#endif
}

void TextFile::end_line() {
  buffer_ += '\n';
  if (buffer_.size() >= enough_to_write || Clock::now() - last_flush_ > longest_wait) {
    flush();
  }
}

void TextFile::close() {
  flush();
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) fail("close");
}

void TextFile::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t size =
        ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      // A second attempt at the same text would only repeat the error.
      const int code = errno;
      buffer_.clear();
      errno = code;
      fail("write");
    }
    done += static_cast<size_t>(size);
  }
  buffer_.clear();
  last_flush_ = Clock::now();
}

void TextFile::fail(const char* action) const { fail_on(action, role_, path_); }

}  // namespace pyrobma
