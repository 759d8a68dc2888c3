#pragma once
#include "engine/compute_threads.h"
#include "engine/flash_attention.h"
#include "engine/llama_model.h"
#include "engine/thread_count.h"

namespace tandem {

/** Any decoder-only model through libllama, with one unified store of keys and values for all sequences. */
class DecoderOnly : public Engine {
 public:
  DecoderOnly(const DecoderOnlyOptions& options, const CancelFlag& cancel);
  ~DecoderOnly() override;

  const EngineDescription& description() const override { return description_; }
  void encode(int32_t source, const std::vector<int32_t>& ids, const std::vector<uint8_t>& mask) override;
  void step(const StepRows& rows, OutputReceiver& receiver) override;
  void release(const std::vector<int32_t>& sequences, const std::vector<int32_t>& sources) override;

 private:
  /** A past that a row takes over from another sequence. */
  struct Move {
    int32_t from;
    int32_t to;
    int32_t length;
  };

  void check(const StepRows& rows) const;
  bool holds_window_before(int32_t sequence, int32_t position) const;
  void inherit(const StepRows& rows);
  void copy(int32_t from, int32_t to, int32_t length);
  void forget(int32_t sequence, int32_t position);
  int32_t scratch() const { return options_.max_sequences; }
  void decode(const StepRows& rows, OutputReceiver& receiver);
  void decode_batch(OutputReceiver& receiver);
  int32_t compute_batch();
  bool is_same_on_any_threads() const;
  void add_to_batch(int32_t token, int32_t position, int32_t sequence, uint8_t outputs);

  const CancelFlag& cancel_;
  DecoderOnlyOptions options_;
  bool is_on_cpu_ = false;
  LlamaModelHandle model_;
  ComputeThreads compute_threads_;
  ThreadCount thread_count_;
  LlamaContextHandle context_;
  llama_batch batch_{};
  std::vector<uint8_t> batch_outputs_;  // per place in the batch, what is wanted
  size_t distributions_ = 0;            // handed over in this step
  size_t hidden_states_ = 0;            // handed over in this step
  std::vector<int32_t> lengths_;        // per sequence, how many positions it holds
  AttentionOfGraphs attention_;         // of the last batch
  int32_t most_cells_ = 0;              // at most so many were in use since all of them were free
  EngineDescription description_;
};

}  // namespace tandem
