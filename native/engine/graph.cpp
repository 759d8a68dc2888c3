#include "engine/graph.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "engine/error.h"
#include "engine/weights.h"

namespace tandem {

namespace {

ContextHandle new_graph_context(size_t nodes) {
  const Library& llama = library();
  const size_t bytes = llama.ggml_tensor_overhead() * nodes + llama.ggml_graph_overhead_custom(nodes, false);
  ContextHandle context(llama.ggml_init({bytes, nullptr, true}));
  if (!context) throw EngineError("out-of-memory", "no memory for a graph of " + std::to_string(nodes) + " nodes");
  return context;
}

}  // namespace

Graph::Graph(size_t nodes, const kernels::KernelSet* kernel_set)
    : capacity_(nodes),
      context_(new_graph_context(nodes)),
      graph_(library().ggml_new_graph_custom(context_.get(), nodes, false)),
      kernel_set_(kernel_set) {}

template <typename Value>
ggml_tensor* Graph::input(ggml_type type, const std::vector<Value>& values) {
  auto* tensor = library().ggml_new_tensor_1d(context_.get(), type, static_cast<int64_t>(values.size()));
  library().ggml_set_input(tensor);
  inputs_.push_back({tensor, std::vector<uint8_t>(values.size() * sizeof(Value))});
  replace(tensor, values);
  return tensor;
}

template <typename Value>
void Graph::replace(const ggml_tensor* input, const std::vector<Value>& values) {
  const auto found = std::find_if(inputs_.begin(), inputs_.end(), [=](const Input& one) { return one.tensor == input; });
  std::memcpy(found->bytes.data(), values.data(), found->bytes.size());
}

template void Graph::replace(const ggml_tensor*, const std::vector<int32_t>&);
template void Graph::replace(const ggml_tensor*, const std::vector<int64_t>&);
template void Graph::replace(const ggml_tensor*, const std::vector<float>&);

ggml_tensor* Graph::indices(std::vector<int32_t> values) { return input(GGML_TYPE_I32, values); }
ggml_tensor* Graph::cell_numbers(std::vector<int64_t> values) { return input(GGML_TYPE_I64, values); }
ggml_tensor* Graph::values(std::vector<float> values) { return input(GGML_TYPE_F32, values); }

void Graph::upload_inputs() const {
  for (const auto& input : inputs_) {
    // An input that no node reads has no memory: ggml allocates only what the graph needs.
    if (input.tensor->buffer == nullptr) continue;
    library().ggml_backend_tensor_set(input.tensor, input.bytes.data(), 0, input.bytes.size());
  }
}

ggml_tensor* Graph::custom(const Shape& shape, std::vector<ggml_tensor*> arguments,
                           std::unique_ptr<Operation> operation) {
  operations_.push_back(std::move(operation));
  return library().ggml_custom_4d(context_.get(), shape.type, shape.columns, shape.rows, 1, 1, arguments.data(),
                                  static_cast<int>(arguments.size()), Operation::run, GGML_N_TASKS_MAX,
                                  operations_.back().get());
}

ggml_tensor* Graph::custom_into(ggml_tensor* target, std::vector<ggml_tensor*> arguments,
                                std::unique_ptr<Operation> operation) {
  operations_.push_back(std::move(operation));
  return library().ggml_custom_inplace(context_.get(), target, arguments.data(), static_cast<int>(arguments.size()),
                                       Operation::run, GGML_N_TASKS_MAX, operations_.back().get());
}

Graph::QuantizedRows Graph::quantized_rows(ggml_tensor* x, const kernels::Quantization& quantization) const {
  // A norm or an activation that nothing else reads is then no node of the graph.
  const auto norm = norms_.find(x);
  if (norm != norms_.end()) {
    const auto& [source, weight, epsilon] = norm->second;
    return {std::make_shared<NormingQuantizer>(quantization, epsilon), {source, weight}};
  }
  const auto rectified = rectified_.find(x);
  if (rectified != rectified_.end()) return {std::make_shared<RectifyingQuantizer>(quantization), {rectified->second}};
  return {std::make_shared<RowQuantizer>(quantization), {x}};
}

ggml_tensor* Graph::packed_linear(PackedLinear::Matrices matrices, ggml_tensor* x, ggml_tensor* residual) {
  int64_t outputs = 0;
  for (const auto* matrix : matrices) outputs += static_cast<int64_t>(matrix->outputs());
  const kernels::Quantization& quantization = kernel_set_->quantization(matrices.front()->type());
  auto [quantizer, arguments] = quantized_rows(x, quantization);
  std::unique_ptr<PackedLinear> product;
  if (x->ne[0] * x->ne[1] <= PackedLinear::few_values) {
    product = std::make_unique<PackedLinear>(*kernel_set_, std::move(matrices), std::move(quantizer), arguments.size());
  } else {
    auto& quantized = quantized_[{x, &quantization}];
    if (quantized == nullptr) {
      const auto bytes = static_cast<int64_t>(quantizer->row_bytes(x->ne[0]));
      auto operation = std::make_unique<QuantizeRows>(std::move(quantizer));
      quantized = custom({GGML_TYPE_I8, bytes, x->ne[1]}, std::move(arguments), std::move(operation));
    }
    arguments = {quantized};
    product = std::make_unique<PackedLinear>(*kernel_set_, std::move(matrices));
  }
  if (residual != nullptr) arguments.push_back(residual);
  return custom({GGML_TYPE_F32, outputs, x->ne[1]}, std::move(arguments), std::move(product));
}

void Graph::count_product(const ggml_tensor* weight, const ggml_tensor* x) {
  rows_ = std::max(rows_, x->ne[1]);
  work_ += static_cast<double>(weight->ne[0] * weight->ne[1]) * static_cast<double>(x->ne[1]);
}

ggml_tensor* Graph::linear(ggml_tensor* weight, ggml_tensor* x, ggml_tensor* residual) {
  count_product(weight, x);
  const auto* packed = packed_form(weight);
  if (packed == nullptr) {
    auto* product = library().ggml_mul_mat(context_.get(), weight, x);
    return residual == nullptr ? product : library().ggml_add(context_.get(), residual, product);
  }
  return packed_linear({packed}, x, residual);
}

std::vector<ggml_tensor*> Graph::packed_linears(const std::vector<ggml_tensor*>& weights, ggml_tensor* x) {
  std::vector<ggml_tensor*> parts;
  PackedLinear::Matrices matrices;
  for (auto* weight : weights) matrices.push_back(packed_form(weight));
  const auto quantization_of = [&](const auto* matrix) { return &kernel_set_->quantization(matrix->type()); };
  const auto reads_alike = [&](const auto* matrix) { return quantization_of(matrix) == quantization_of(matrices.front()); };
  if (!std::all_of(matrices.begin(), matrices.end(), reads_alike)) {
    for (auto* weight : weights) parts.push_back(linear(weight, x));
    return parts;
  }
  for (const auto* weight : weights) count_product(weight, x);
  auto* joined = packed_linear(std::move(matrices), x, nullptr);
  size_t offset = 0;
  for (const auto* weight : weights) {
    parts.push_back(library().ggml_view_2d(context_.get(), joined, weight->ne[1], x->ne[1], joined->nb[1], offset));
    offset += static_cast<size_t>(weight->ne[1]) * sizeof(float);
  }
  return parts;
}

ggml_tensor* Graph::rows(ggml_tensor* table, ggml_tensor* indices) {
  const auto* packed = packed_form(table);
  if (packed == nullptr) return library().ggml_get_rows(context_.get(), table, indices);
  return custom({GGML_TYPE_F32, table->ne[0], indices->ne[0]}, {indices}, std::make_unique<UnpackRows>(*packed));
}

ggml_tensor* Graph::rms_norm(ggml_tensor* x, ggml_tensor* weight, float epsilon) {
  if (kernel_set_ != nullptr) {
    auto* normed = custom({GGML_TYPE_F32, x->ne[0], x->ne[1]}, {x, weight}, std::make_unique<RmsNorm>(epsilon));
    norms_[normed] = {x, weight, epsilon};
    return normed;
  }
  const Library& llama = library();
  return llama.ggml_mul(context_.get(), llama.ggml_rms_norm(context_.get(), x, epsilon), weight);
}

ggml_tensor* Graph::relu(ggml_tensor* x) {
  auto* rectified = library().ggml_relu(context_.get(), x);
  rectified_[rectified] = x;
  return rectified;
}

ggml_tensor* Graph::gelu_new_f32(ggml_tensor* x) {
  const Library& llama = library();
  auto* context = context_.get();
  const auto sqrt_2_over_pi = static_cast<float>(std::sqrt(2.0 / 3.14159265358979323846));
  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  auto* cubic = llama.ggml_mul(context, x, llama.ggml_scale_bias(context, llama.ggml_sqr(context, x), 0.044715F, 1.0F));
  auto* tanh = llama.ggml_tanh(context, llama.ggml_scale(context, cubic, sqrt_2_over_pi));
  return llama.ggml_mul(context, x, llama.ggml_scale_bias(context, tanh, 0.5F, 0.5F));
}

/** `[size, heads, n]`: a view and no new shape, since `x` may be columns of a joined product. */
ggml_tensor* Graph::heads_of(ggml_tensor* x, int64_t size, int64_t heads) {
  return library().ggml_view_3d(context_.get(), x, size, heads, x->ne[1], static_cast<size_t>(size) * x->nb[0], x->nb[1],
                                0);
}

ggml_tensor* Graph::split_heads(ggml_tensor* x, int64_t size, int64_t heads) {
  return library().ggml_permute(context_.get(), heads_of(x, size, heads), 0, 2, 1, 3);
}

ggml_tensor* Graph::split_heads_transposed(ggml_tensor* x, int64_t size, int64_t heads) {
  const Library& llama = library();
  return llama.ggml_cont(context_.get(), llama.ggml_permute(context_.get(), heads_of(x, size, heads), 1, 2, 0, 3));
}

ggml_tensor* Graph::merge_heads(ggml_tensor* x) {
  const Library& llama = library();
  auto* together = llama.ggml_permute(context_.get(), x, 0, 2, 1, 3);
  return llama.ggml_cont_2d(context_.get(), together, x->ne[0] * x->ne[2], x->ne[1]);
}

ggml_tensor* Graph::concatenate(const std::vector<ggml_tensor*>& parts) {
  // In pairs, so that n parts are copied log n times and not n times.
  std::vector<ggml_tensor*> level = parts;
  while (level.size() > 1) {
    std::vector<ggml_tensor*> next;
    for (size_t i = 0; i + 1 < level.size(); i += 2) {
      next.push_back(library().ggml_concat(context_.get(), level[i], level[i + 1], 1));
    }
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = std::move(next);
  }
  return level.front();
}

void Graph::hand_out(ggml_tensor* logits, const DistributionTargets& targets) {
  auto operation = std::make_unique<HandOut>(targets);
  hand_out_ = operation.get();
  expand(custom({GGML_TYPE_I32, 1, 1}, {logits}, std::move(operation)));
}

void Graph::expand(ggml_tensor* tensor) { library().ggml_build_forward_expand(graph_, tensor); }

GraphRunner::GraphRunner(ggml_backend_dev_t device, int32_t threads, const CancelFlag& cancel)
    : cancel_(cancel), compute_threads_(threads), thread_count_(compute_threads_.count()) {
  const Library& llama = library();
  if (!is_cpu(device)) backends_.push_back(new_backend(device));
  // ggml's scheduler wants the CPU last.
  backends_.push_back(new_backend(llama.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)));
  compute_threads_.serve(backends_.back().get());
  set_threads(compute_threads_.count());
}

BackendHandle GraphRunner::new_backend(ggml_backend_dev_t device) {
  const Library& llama = library();
  BackendHandle backend(llama.ggml_backend_dev_init(device, nullptr));
  if (!backend) {
    throw EngineError("device-unavailable",
                      std::string("device ") + llama.ggml_backend_dev_name(device) + " cannot be started. " + take_log());
  }
  using SetAbort = std::remove_pointer_t<ggml_backend_set_abort_callback_t>;
  auto* set_abort = backend_function<SetAbort>(device, "ggml_backend_set_abort_callback");
  if (set_abort != nullptr) set_abort(backend.get(), is_cancelled, const_cast<CancelFlag*>(&cancel_));
  return backend;
}

void GraphRunner::set_threads(int32_t threads) {
  if (threads == threads_) return;
  threads_ = threads;
  using SetThreads = std::remove_pointer_t<ggml_backend_set_n_threads_t>;
  for (const auto& backend : backends_) {
    auto* device = library().ggml_backend_get_device(backend.get());
    auto* set = backend_function<SetThreads>(device, "ggml_backend_set_n_threads");
    if (set != nullptr) set(backend.get(), threads);
  }
}

ggml_backend_sched_t GraphRunner::scheduler_for(size_t nodes) {
  const Library& llama = library();
  if (scheduler_ && nodes <= scheduler_nodes_) {
    llama.ggml_backend_sched_reset(scheduler_.get());
    return scheduler_.get();
  }
  scheduler_nodes_ = std::max<size_t>(nodes, 2 * scheduler_nodes_);
  scheduler_.reset();
  std::vector<ggml_backend_t> backends;
  for (const auto& backend : backends_) backends.push_back(backend.get());
  scheduler_.reset(llama.ggml_backend_sched_new(backends.data(), nullptr, static_cast<int>(backends.size()),
                                                scheduler_nodes_, false, true));
  return scheduler_.get();
}

void GraphRunner::allocate(Graph& graph) {
  ++allocations_;
  if (!library().ggml_backend_sched_alloc_graph(scheduler_for(graph.capacity()), graph.graph())) {
    throw EngineError("out-of-memory", "not enough memory for the intermediate results of a step");
  }
}

void GraphRunner::run(Graph& graph) {
  const Library& llama = library();
  if (cancel_.load()) throw EngineError("aborted", "the computation was cancelled");
  if (!holds(graph)) allocate(graph);
  graph.allocation_ = 0;
  graph.upload_inputs();
  set_threads(thread_count_.of_graph(graph.rows_of_products()));
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const auto status = llama.ggml_backend_sched_graph_compute(scheduler_.get(), graph.graph());
  if (status == GGML_STATUS_SUCCESS) {
    // What is done with distributions depends on the request and tells nothing about threads.
    const auto end = graph.hands_out() ? graph.hand_out_->begin() : Clock::now();
    thread_count_.record(std::chrono::duration<double>(end - begin).count() / graph.work());
  }
  if (status == GGML_STATUS_ABORTED || cancel_.load()) throw EngineError("aborted", "the computation was cancelled");
  if (status != GGML_STATUS_SUCCESS) throw EngineError("compute-failed", "ggml could not compute the graph. " + take_log());
  graph.allocation_ = allocations_;
  if (graph.hands_out()) graph.hand_out_->finish();
}

}  // namespace tandem
