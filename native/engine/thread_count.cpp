#include "engine/thread_count.h"

#include <algorithm>

#if !defined(_WIN32)
#include <sys/resource.h>
#endif

namespace tandem {

namespace {

// Two threads on two cores of a Linux machine lost a core 6 to 10 times a second while it was idle, and 117 to 125 times
// while another program kept one core busy.
constexpr double busy_rate = 60;
/** Less than this says nothing yet. */
constexpr double enough_seconds = 0.02;
/** What is remembered of earlier graphs once one more second has been computed. */
constexpr double remembered_seconds = 0.2;

}  // namespace

int32_t ThreadCount::at(Clock::time_point now) {
  if (count_ < most_ && now >= retry_) {
    ++count_;
    lost_ = seconds_ = 0;
  }
  return count_;
}

void ThreadCount::record(Clock::time_point begin, Clock::time_point end, int64_t lost_cores) {
  if (count_ == 1) return;
  const double took = std::chrono::duration<double>(end - begin).count();
  const double kept = remembered_seconds / (remembered_seconds + took);
  lost_ = kept * lost_ + static_cast<double>(lost_cores);
  seconds_ = kept * seconds_ + took;
  if (seconds_ < enough_seconds) return;
  if (lost_ < busy_rate * seconds_) {
    patience_ = first_patience;
    return;
  }
  // A try that fails soon costs steps; the next one comes later.
  --count_;
  retry_ = end + patience_;
  patience_ = std::min<Clock::duration>(2 * patience_, longest_patience);
  lost_ = seconds_ = 0;
}

int64_t lost_cores() {
#if defined(_WIN32)
  return 0;
#else
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
#endif
}

}  // namespace tandem
