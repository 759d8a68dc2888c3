#pragma once
#include <functional>
#include <list>

namespace tandem {

/**
 * Held by a thread for as long as it computes, so that `end_running_threads` can end it before the process does. The
 * `exit` of C destroys what the libraries hold while other threads go on; a step that is under way would read memory that
 * is gone.
 */
class RunningThread {
 public:
  /** `cancel` may be called from another thread; it returns at once. */
  explicit RunningThread(std::function<void()> cancel);
  ~RunningThread();
  RunningThread(const RunningThread&) = delete;
  RunningThread& operator=(const RunningThread&) = delete;

 private:
  std::list<std::function<void()>>::iterator place_;
};

/** Cancels all of them, and those that come later, and waits until they have ended. For a process that exits. */
void end_running_threads();

}  // namespace tandem
