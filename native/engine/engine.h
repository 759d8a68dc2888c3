#pragma once
#include <ggml.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace tandem {

/** The options that both engines share; `EngineOptions` in src/native/addon.ts. */
struct EngineOptions {
  std::string path;
  std::string device;
  int32_t threads = 1;
  bool exact = false;
  ggml_type kv_type = GGML_TYPE_F16;
};

/** The rows of one step; the fields and their rules are those of `StepRows` in src/native/addon.ts. */
struct StepRows {
  std::vector<int32_t> sequences;
  std::vector<int32_t> parents;
  std::vector<int32_t> positions;
  std::vector<int32_t> sources;
  std::vector<int32_t> token_counts;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> outputs;  // flags of `Output`, one byte per token
  size_t size() const { return sequences.size(); }
};

/** What is wanted of a token of a step; flags of `Output` in src/native/addon.ts. */
enum Output : uint8_t { distribution = 1, hidden_state = 2 };
constexpr uint8_t all_outputs = distribution | hidden_state;

/** How many tokens want the output `kind`. */
size_t count_outputs(const StepRows& rows, Output kind);

struct EngineDescription {
  int32_t vocabulary_size = 0;
  int32_t max_positions = 0;
  int32_t max_sequences = 0;
  int32_t hidden_size = 0;
  double weight_bytes = 0;
  std::string device;
};

/**
 * Receives what a step was asked for, in any order; distributions also from several threads at once. Pointers are valid during
 * the call.
 */
class OutputReceiver {
 public:
  virtual ~OutputReceiver() = default;
  /** The distribution number `output`: `logits [vocabulary]`, free to be changed. */
  virtual void receive(size_t output, float* logits) = 0;
  /** The hidden state number `place`: the last layer's, after the final norm, `[hidden_size]`. */
  virtual void receive_hidden_state(size_t place, const float* state, size_t size) = 0;
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
  virtual void step(const StepRows& rows, OutputReceiver& receiver) = 0;
  /**
   * Whether rows of several requests may share a step: each gets the same to the last bit as alone, and a step that fails
   * changes nothing.
   */
  virtual bool joins_steps() const { return false; }
  virtual void release(const std::vector<int32_t>& sequences, const std::vector<int32_t>& sources) = 0;
};

}  // namespace tandem
