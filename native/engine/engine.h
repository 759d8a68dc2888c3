#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace tandem {

/** The rows of one step; the fields and their rules are those of `StepRows` in src/native/addon.ts. */
struct StepRows {
  std::vector<int32_t> sequences;
  std::vector<int32_t> parents;
  std::vector<int32_t> positions;
  std::vector<int32_t> sources;
  std::vector<int32_t> token_counts;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> outputs;
  size_t size() const { return sequences.size(); }
};

struct EngineDescription {
  int32_t vocabulary_size = 0;
  int32_t max_positions = 0;
  int32_t max_sequences = 0;
  double weight_bytes = 0;
  std::string device;
};

/** Receives the logits of output number `output`: `[vocabulary]`, valid during the call and free to be changed. */
class LogitsReceiver {
 public:
  virtual ~LogitsReceiver() = default;
  virtual void receive(size_t output, float* logits) = 0;
};

/** A row goes on where its parent has been; throws EngineError `invalid-argument` when it would leave a gap. */
void check_position(const StepRows& rows, size_t row, size_t parent_length);

/** Raised by another thread; an engine looks at it at every graph node (CPU) or between graphs. */
using CancelFlag = std::atomic<bool>;

/** ggml's abort callback; `flag` is a CancelFlag. */
inline bool is_cancelled(void* flag) { return static_cast<const CancelFlag*>(flag)->load(std::memory_order_relaxed); }

/**
 * A loaded model. Not thread-safe: its own thread calls it. After a failed step the sequences of that step are lost;
 * everything else is as before.
 */
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineDescription& description() const = 0;
  virtual void encode(int32_t source, const std::vector<int32_t>& ids, const std::vector<uint8_t>& mask) = 0;
  virtual void step(const StepRows& rows, LogitsReceiver& receiver) = 0;
  virtual void release(const std::vector<int32_t>& sequences, const std::vector<int32_t>& sources) = 0;
};

}  // namespace tandem
