#include "engine/sized_thread.h"

#include <exception>
#include <string>

#include "engine/error.h"

#if defined(_WIN32)
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#endif

namespace tandem {

namespace {

struct Job {
  const std::function<void()>& work;
  std::exception_ptr thrown;

  void run() {
    try {
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
  }
};

EngineError refused(size_t stack_bytes) {
  return EngineError("out-of-memory",
                     "the system refuses a thread with a stack of " + std::to_string(stack_bytes >> 20) + " MiB");
}

#if defined(_WIN32)

unsigned __stdcall enter(void* job) {
  static_cast<Job*>(job)->run();
  return 0;
}

void run(size_t stack_bytes, Job& job) {
  const auto handle = reinterpret_cast<HANDLE>(_beginthreadex(nullptr, static_cast<unsigned>(stack_bytes), enter, &job,
                                                              STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr));
  if (handle == nullptr) throw refused(stack_bytes);
  WaitForSingleObject(handle, INFINITE);
  CloseHandle(handle);
}

#else

void* enter(void* job) {
  static_cast<Job*>(job)->run();
  return nullptr;
}

void run(size_t stack_bytes, Job& job) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) throw refused(stack_bytes);
  pthread_t thread;
  const bool started = pthread_attr_setstacksize(&attributes, stack_bytes) == 0 &&
                       pthread_create(&thread, &attributes, enter, &job) == 0;
  pthread_attr_destroy(&attributes);
  if (!started) throw refused(stack_bytes);
  pthread_join(thread, nullptr);
}

#endif

}  // namespace

void run_on_sized_thread(size_t stack_bytes, const std::function<void()>& work) {
  constexpr size_t page = 65536;  // of the largest pages in use; some systems take whole pages only
  Job job{work, nullptr};
  run((stack_bytes + page - 1) / page * page, job);
  if (job.thrown) std::rethrow_exception(job.thrown);
}

}  // namespace tandem
