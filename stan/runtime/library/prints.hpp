// Text that a program prints, held back during a call and handed over after it.

#ifndef PYROBMA_RUNTIME_LIBRARY_PRINTS_HPP
#define PYROBMA_RUNTIME_LIBRARY_PRINTS_HPP

#include <ostream>
#include <streambuf>
#include <string>

#include "bridge.h"

namespace pyrobma {

// Replaces the receiver of printed text; NULL stands for standard output.
void set_print_callback(bs_print_callback callback);

// One call's stream. Texts of different calls never mix. Delivery waits until the
// call has given up its locks: the receiver may itself wait, say for Python's lock.
class Prints {
 public:
  Prints() : stream_(&buffer_) {}
  ~Prints() { deliver(); }
  Prints(const Prints&) = delete;
  Prints& operator=(const Prints&) = delete;

  std::ostream* stream() { return &stream_; }
  void deliver() noexcept;

 private:
  // Cheaper to make, once per call, than a string stream.
  class Buffer : public std::streambuf {
   public:
    std::string text;

   private:
    int_type overflow(int_type character) override;
    std::streamsize xsputn(const char* added, std::streamsize size) override;
  };

  Buffer buffer_;
  std::ostream stream_;
};

}  // namespace pyrobma

#endif
