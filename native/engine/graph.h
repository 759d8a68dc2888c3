#pragma once
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/compute_threads.h"
#include "engine/engine.h"
#include "engine/handles.h"
#include "engine/hand_out.h"
#include "engine/packed_operations.h"
#include "engine/thread_count.h"
#include "kernels/kernel_set.h"

namespace tandem {

/**
 * A graph under construction, with its input values. The members are the operations of our models in the words of the
 * papers; shapes are in ggml's order, the fastest index first.
 */
class Graph {
 public:
  /** `kernel_set` is what multiplies packed weights; null where there are none. */
  explicit Graph(size_t nodes, const kernels::KernelSet* kernel_set = nullptr);

  ggml_tensor* indices(std::vector<int32_t> values);
  ggml_tensor* cell_numbers(std::vector<int64_t> values);
  ggml_tensor* values(std::vector<float> values);
  /** Other values, as many, for an input of the next run. */
  template <typename Value>
  void replace(const ggml_tensor* input, const std::vector<Value>& values);

  /**
   * A linear layer, the only place that multiplies weights: `weight [in, out]`, `x [in, n]` -> `[out, n]`, added to
   * `residual` if there is one.
   */
  ggml_tensor* linear(ggml_tensor* weight, ggml_tensor* x, ggml_tensor* residual = nullptr);
  /** Several packed layers of the same `x` in one product, if they read it alike; views of it. */
  std::vector<ggml_tensor*> packed_linears(const std::vector<ggml_tensor*>& weights, ggml_tensor* x);
  /** `table [size, n]`, one of the weights -> `[size, indices]` in f32. */
  ggml_tensor* rows(ggml_tensor* table, ggml_tensor* indices);
  /** Root mean square norm (Zhang and Sennrich 2019) without bias. */
  ggml_tensor* rms_norm(ggml_tensor* x, ggml_tensor* weight, float epsilon);
  ggml_tensor* relu(ggml_tensor* x);
  /** gelu_new composed in f32: ggml's own kernel is a table in f16 and moves logits by 1e-2. */
  ggml_tensor* gelu_new_f32(ggml_tensor* x);
  /** `x [heads * size, n]` -> `[size, n, heads]`, a view. */
  ggml_tensor* split_heads(ggml_tensor* x, int64_t size, int64_t heads);
  /** `x [heads * size, n]` -> `[n, size, heads]`, contiguous. */
  ggml_tensor* split_heads_transposed(ggml_tensor* x, int64_t size, int64_t heads);
  /** `x [size, n, heads]` -> `[heads * size, n]`, contiguous. */
  ggml_tensor* merge_heads(ggml_tensor* x);
  /** Side by side along the second dimension. */
  ggml_tensor* concatenate(const std::vector<ggml_tensor*>& parts);
  /** A node that `operation` computes from the arguments. */
  struct Shape {
    ggml_type type;
    int64_t columns;
    int64_t rows;
  };
  ggml_tensor* custom(const Shape& shape, std::vector<ggml_tensor*> arguments, std::unique_ptr<Operation> operation);
  /** The same, written to `target`, which becomes its first argument. */
  ggml_tensor* custom_into(ggml_tensor* target, std::vector<ggml_tensor*> arguments,
                           std::unique_ptr<Operation> operation);
  /** The last node: hands distributions `logits [vocabulary, n]` to targets that outlive the graph. On a CPU only. */
  void hand_out(ggml_tensor* logits, const DistributionTargets& targets);
  bool hands_out() const { return hand_out_ != nullptr; }
  /** Makes sure that `tensor` is computed. */
  void expand(ggml_tensor* tensor);

  ggml_context* context() const { return context_.get(); }
  ggml_cgraph* graph() const { return graph_; }
  size_t capacity() const { return capacity_; }
  /** The most rows that a weight is multiplied with. */
  int64_t rows_of_products() const { return rows_; }
  /** Multiplications of all linear layers. */
  double work() const { return work_; }
  void upload_inputs() const;

 private:
  friend class GraphRunner;
  struct Input {
    ggml_tensor* tensor;
    std::vector<uint8_t> bytes;
  };
  ggml_tensor* heads_of(ggml_tensor* x, int64_t size, int64_t heads);
  /** What makes quantised rows, and from which arguments. */
  struct QuantizedRows {
    std::shared_ptr<const RowQuantizer> quantizer;
    std::vector<ggml_tensor*> arguments;
  };
  QuantizedRows quantized_rows(ggml_tensor* x, const kernels::Quantization& quantization) const;
  ggml_tensor* packed_linear(PackedLinear::Matrices matrices, ggml_tensor* x, ggml_tensor* residual);
  void count_product(const ggml_tensor* weight, const ggml_tensor* x);
  template <typename Value>
  ggml_tensor* input(ggml_type type, const std::vector<Value>& values);

  size_t capacity_;
  uint64_t allocation_ = 0;  // the runner's, 0 before the first
  int64_t rows_ = 1;
  double work_ = 0;
  ContextHandle context_;
  ggml_cgraph* graph_;
  std::vector<Input> inputs_;
  const kernels::KernelSet* kernel_set_;
  std::vector<std::unique_ptr<Operation>> operations_;
  HandOut* hand_out_ = nullptr;  // one of them
  // Rows in nodes of their own: once for several matrices, by how they are quantised.
  std::map<std::pair<ggml_tensor*, const kernels::Quantization*>, ggml_tensor*> quantized_;
  struct Norm {
    ggml_tensor* source;
    ggml_tensor* weight;
    float epsilon;
  };
  // What was normed or rectified, by the result: quantising can do that on its way.
  std::unordered_map<ggml_tensor*, Norm> norms_;
  std::unordered_map<ggml_tensor*, ggml_tensor*> rectified_;
};

/** The device that computes graphs, with the CPU behind it for what it cannot do. */
class GraphRunner {
 public:
  GraphRunner(ggml_backend_dev_t device, int32_t threads, const CancelFlag& cancel);

  /** Throws EngineError `aborted`, `out-of-memory` or `compute-failed`. */
  void run(Graph& graph);
  /** Whether `graph` was the last to run, and did: it can run again, with other values of its inputs, until another one has. */
  bool holds(const Graph& graph) const { return graph.allocation_ != 0 && graph.allocation_ == allocations_; }

 private:
  BackendHandle new_backend(ggml_backend_dev_t device);
  void set_threads(int32_t threads);
  ggml_backend_sched_t scheduler_for(size_t nodes);
  void allocate(Graph& graph);

  const CancelFlag& cancel_;
  ComputeThreads compute_threads_;
  std::vector<BackendHandle> backends_;
  SchedulerHandle scheduler_;
  size_t scheduler_nodes_ = 0;
  uint64_t allocations_ = 0;
  ThreadCount thread_count_;
  int32_t threads_ = 0;
};

}  // namespace tandem
