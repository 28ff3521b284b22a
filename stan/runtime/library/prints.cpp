#include "prints.hpp"

#include <iostream>
#include <mutex>

namespace pyrobma {
namespace {

// Recursive: a receiver may call a function of this library that prints too.
std::recursive_mutex receiver_mutex;
bs_print_callback receiver = nullptr;

}  // namespace

void set_print_callback(bs_print_callback callback) {
  std::lock_guard<std::recursive_mutex> lock(receiver_mutex);
  receiver = callback;
}

void Prints::deliver() noexcept {
  if (buffer_.text.empty()) return;
  try {
    std::string text;
    text.swap(buffer_.text);
    std::lock_guard<std::recursive_mutex> lock(receiver_mutex);
    if (receiver != nullptr) {
      receiver(text.data(), text.size());
    } else {
      std::cout.write(text.data(), static_cast<std::streamsize>(text.size()));
      std::cout.flush();
    }
  } catch (...) {
    // A lost message must not turn a good result into a failure.
  }
}

Prints::Buffer::int_type Prints::Buffer::overflow(int_type character) {
  if (!traits_type::eq_int_type(character, traits_type::eof()))
    text.push_back(traits_type::to_char_type(character));
  return traits_type::not_eof(character);
}

std::streamsize Prints::Buffer::xsputn(const char* added, std::streamsize size) {
  text.append(added, static_cast<std::size_t>(size));
  return size;
}

}  // namespace pyrobma
