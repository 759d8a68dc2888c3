#include "engine/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "engine/error.h"

namespace tandem {

namespace {

/** Words that a thread takes at once: 1 MiB, long enough for the prefetchers and short enough to share a turn fairly. */
constexpr size_t chunk_words = (size_t{1} << 20) / sizeof(uint64_t);

/** Each turn reads the memory so often, and lasts tens of milliseconds: starting the threads takes a fraction of one. */
constexpr size_t sweeps = 4;
constexpr int turns = 8;

/** What is mapped in huge pages where the system has them: a walk through page tables is not what is measured. */
class Memory {
 public:
  explicit Memory(size_t chunks) : words_(chunks * chunk_words) {
    size_t space = words_ * sizeof(uint64_t) + alignment;
    // Uninitialised: pages come when they are first written, after the advice.
    storage_.reset(new unsigned char[space]);
    void* begin = storage_.get();
    data_ = static_cast<uint64_t*>(std::align(alignment, words_ * sizeof(uint64_t), begin, space));
#ifdef __linux__
    madvise(data_, words_ * sizeof(uint64_t), MADV_HUGEPAGE);
#endif
    for (size_t i = 0; i < words_; i++) data_[i] = i;
  }

  const uint64_t* data() const { return data_; }

 private:
  static constexpr size_t alignment = size_t{2} << 20;

  size_t words_;
  std::unique_ptr<unsigned char[]> storage_;
  uint64_t* data_ = nullptr;
};

/** What keeps the compiler from leaving the reading out. */
std::atomic<uint64_t> sink{0};

uint64_t sum_of(const uint64_t* words) {
  uint64_t sum = 0;
  for (size_t i = 0; i < chunk_words; i++) sum += words[i];
  return sum;
}

double seconds_of_turn(const Memory& memory, size_t chunks, int32_t threads, const CancelFlag& cancel) {
  std::atomic<size_t> next{0};
  const auto read = [&] {
    uint64_t sum = 0;
    for (size_t i = next.fetch_add(1); i < chunks * sweeps && !cancel.load(); i = next.fetch_add(1)) {
      sum += sum_of(memory.data() + i % chunks * chunk_words);
    }
    sink.fetch_add(sum);
  };
  std::vector<std::thread> helpers;
  const auto begin = std::chrono::steady_clock::now();
  try {
    while (static_cast<int32_t>(helpers.size()) + 1 < threads) helpers.emplace_back(read);
  } catch (const std::exception&) {
    // A system that refuses more threads leaves the work to those there are.
  }
  read();
  for (auto& helper : helpers) helper.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

double read_bandwidth(size_t bytes, int32_t threads, const CancelFlag& cancel) {
  const size_t chunks = std::max<size_t>(1, bytes / (chunk_words * sizeof(uint64_t)));
  const Memory memory(chunks);
  double least = seconds_of_turn(memory, chunks, threads, cancel);
  for (int turn = 1; turn < turns; turn++) least = std::min(least, seconds_of_turn(memory, chunks, threads, cancel));
  if (cancel.load()) throw EngineError("aborted", "the measurement was cancelled");
  return static_cast<double>(chunks * sweeps * chunk_words * sizeof(uint64_t)) / least;
}

}  // namespace tandem
