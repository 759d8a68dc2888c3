#pragma once
#include <chrono>
#include <cstdint>

namespace tandem {

/**
 * How many threads compute the next graph. Threads of a graph wait for each other after every node, some hundred times a
 * step: one that another program has pushed off its core holds up all of them, and a step takes five to a hundred times
 * as long. So the count follows the load: one thread less whenever threads keep losing their cores, one more after a
 * while without that.
 */
class ThreadCount {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ThreadCount(int32_t most) : most_(most), count_(most) {}

  /** Threads for a graph that begins at `now`. */
  int32_t at(Clock::time_point now);

  /** A graph took so long, in which the process lost a core so many times (`ru_nivcsw` of getrusage). */
  void record(Clock::time_point begin, Clock::time_point end, int64_t lost_cores);

 private:
  int32_t most_;
  int32_t count_;
  double lost_ = 0;  // losses and seconds that are remembered, both fading
  double seconds_ = 0;
  Clock::time_point retry_{};  // when one thread more is tried
  Clock::duration patience_ = first_patience;

  static constexpr std::chrono::milliseconds first_patience{250};
  static constexpr std::chrono::seconds longest_patience{8};
};

/** How often the threads of this process have lost a core to others so far; 0 where the system does not say. */
int64_t lost_cores();

}  // namespace tandem
