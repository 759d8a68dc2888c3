#pragma once
#include <memory>
#include <optional>
#include <unordered_map>

#include "engine/cells.h"
#include "engine/t5_graph.h"

namespace tandem {

struct EncoderDecoderOptions : EngineOptions {
  T5Parameters parameters;
  std::vector<TensorDescription> tensors;
  int32_t context_size = 0;
  /** What multiplies packed matrices on a CPU; null: ggml. */
  const kernels::KernelSet* kernel_set = nullptr;
};

/** T5 over ggml: the encoder runs once per source, decoder rows of any sources share a step. */
class EncoderDecoder : public Engine {
 public:
  EncoderDecoder(const EncoderDecoderOptions& options, const CancelFlag& cancel);

  const EngineDescription& description() const override { return description_; }
  void encode(int32_t source, const std::vector<int32_t>& ids, const std::vector<uint8_t>& mask) override;
  void step(const StepRows& rows, OutputReceiver& receiver) override;
  bool joins_steps() const override { return graph_.computes_rows_apart(); }
  void release(const std::vector<int32_t>& sequences, const std::vector<int32_t>& sources) override;

 private:
  struct Source {
    ContextHandle context;
    BufferHandle buffer;
    CrossAttention attention;
  };

  std::unique_ptr<Source> new_source(size_t length, const std::vector<uint8_t>& mask) const;
  /** One token of a step: its row, its place in that row, and the numbers of its outputs or -1. */
  struct TokenPlace {
    size_t row;
    int64_t position;
    int32_t token;
    int64_t distribution;
    int64_t hidden_state;
    bool is_output() const { return distribution >= 0 || hidden_state >= 0; }
  };

  const CrossAttention& source(int32_t number) const;
  static std::vector<TokenPlace> order_by_source(const StepRows& rows);
  T5DecoderStep arrange(const StepRows& rows, const Cells::Plan& plan, const TokenPlace* begin,
                        const TokenPlace* end) const;
  void run_decoder(const T5DecoderStep& step);
  void compute(const StepRows& rows, const Cells::Plan& plan, OutputReceiver& receiver);
  void hand_out(const std::vector<const TokenPlace*>& places, OutputReceiver& receiver);

  ggml_backend_dev_t device_;
  const kernels::KernelSet* kernel_set_;
  int32_t context_size_;
  ggml_type kv_type_;
  Weights weights_;
  T5Model model_;
  T5Graph graph_;
  GraphRunner runner_;
  DistributionTargets targets_;
  std::optional<T5DecoderGraph> decoder_;  // computed last
  ContextHandle cell_context_;
  BufferHandle cell_buffer_;
  std::vector<KeyValue> cell_store_;
  Cells cells_;
  std::unordered_map<int32_t, std::unique_ptr<Source>> sources_;
  EngineDescription description_;
};

}  // namespace tandem
