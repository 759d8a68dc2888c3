#include "engine/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "engine/error.h"
#include "engine/parallel.h"
#include "kernels/packed_memory.h"

namespace tandem {

namespace {

/** Words that a thread takes at once: 1 MiB, long enough for the prefetchers and short enough to share a turn fairly. */
constexpr size_t chunk_words = (size_t{1} << 20) / sizeof(uint64_t);

/** Each turn reads the memory so often, and lasts tens of milliseconds: starting the threads takes a fraction of one. */
constexpr size_t sweeps = 4;
constexpr int turns = 8;

/** Memory whose pages are there; in huge ones where the system has them: a walk through page tables is not measured. */
kernels::PackedMemory filled_memory(size_t words) {
  kernels::PackedMemory memory(words * sizeof(uint64_t));
  auto* data = reinterpret_cast<uint64_t*>(memory.data());
  for (size_t i = 0; i < words; i++) data[i] = i;
  return memory;
}

/** What keeps the compiler from leaving the reading out. */
std::atomic<uint64_t> sink{0};

uint64_t sum_of(const uint64_t* words) {
  uint64_t sum = 0;
  for (size_t i = 0; i < chunk_words; i++) sum += words[i];
  return sum;
}

double seconds_of_turn(const uint64_t* memory, size_t chunks, int32_t threads, const CancelFlag& cancel) {
  std::atomic<size_t> next{0};
  const auto read = [&] {
    uint64_t sum = 0;
    for (size_t i = next.fetch_add(1); i < chunks * sweeps && !cancel.load(); i = next.fetch_add(1)) {
      sum += sum_of(memory + i % chunks * chunk_words);
    }
    sink.fetch_add(sum);
  };
  const auto begin = std::chrono::steady_clock::now();
  in_parallel(static_cast<size_t>(threads), read);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double read_bandwidth(size_t bytes, int32_t threads, const CancelFlag& cancel) {
  const size_t chunks = std::max<size_t>(1, bytes / (chunk_words * sizeof(uint64_t)));
  const auto memory = filled_memory(chunks * chunk_words);
  const auto* words = reinterpret_cast<const uint64_t*>(memory.data());
  double least = seconds_of_turn(words, chunks, threads, cancel);
  for (int turn = 1; turn < turns; turn++) least = std::min(least, seconds_of_turn(words, chunks, threads, cancel));
  if (cancel.load()) throw EngineError("aborted", "the measurement was cancelled");
  return static_cast<double>(chunks * sweeps * chunk_words * sizeof(uint64_t)) / least;
}

}  // namespace tandem
