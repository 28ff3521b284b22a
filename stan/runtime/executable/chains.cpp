#include "chains.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace pyrobma {

namespace {

pid_t waiting_process = 0;  // 0 in a process that nobody of this command waits for

void flush_console() {
  std::cout.flush();
  std::cerr.flush();
}

void start(int chain, const std::function<bool(int)>& run) {
  flush_console();  // else both processes would print what is left
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    throw std::runtime_error(std::string("cannot start the process of a chain: ") +
                             std::strerror(errno));
  }
  if (child > 0) return;
  waiting_process = parent;
  const bool is_done = run(chain);
  flush_console();
  std::_Exit(is_done ? 0 : 1);
}

// Wait for one process; whether it ended well.
bool finish_one() {
  int status = 0;
  while (::wait(&status) < 0) {
    if (errno != EINTR) return false;
  }
  if (WIFSIGNALED(status)) {
    std::cerr << "Error: the process of a chain was ended by signal "
              << WTERMSIG(status) << " (" << ::strsignal(WTERMSIG(status)) << ")"
              << std::endl;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

bool run_chains(int count, int at_once, const std::function<bool(int)>& run) {
  bool is_done = true;
  if (count == 1 || at_once == 1) {
    for (int chain = 0; chain < count && is_done; ++chain) is_done = run(chain);
    return is_done;
  }
  int running = 0;
  for (int chain = 0; chain < count && is_done; ++chain) {
    if (running == at_once) {
      --running;
      is_done = finish_one();
      if (!is_done) break;
    }
    start(chain, run);
    ++running;
  }
  for (; running > 0; --running) is_done = finish_one() && is_done;
  return is_done;
}

bool is_abandoned() {
  return waiting_process != 0 && ::getppid() != waiting_process;
}

}  // namespace pyrobma
