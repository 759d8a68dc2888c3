#include "engine/flash_attention.h"

#if defined(__linux__) && defined(__x86_64__)
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>

namespace tandem {

namespace {

/** Cells that are attended to in one go: keys and values of a head of 64 are 64 KB, which stay in the second cache. */
constexpr size_t part_cells = 256;
/** Tokens that see about the same cells and are attended to together. */
constexpr size_t group_tokens = kernels::max_attention_rows;
/** Fewer heads read keys where they lie: to bring these into tiles takes as long as to compute with them. */
constexpr size_t heads_for_tiles = 3;
/** Into so many spans of parts threads share the cells of few tokens: what they leave for each other stays small. */
constexpr size_t most_spans = 16;

constexpr size_t parts_of(size_t count, size_t size) { return (count + size - 1) / size; }

float parameter(const ggml_tensor* operation, size_t number) {
  float value;
  std::memcpy(&value, operation->op_params + number, sizeof(value));
  return value;
}

template <typename Value>
Value* at(const ggml_tensor* tensor, size_t second, size_t third) {
  return reinterpret_cast<Value*>(static_cast<std::byte*>(tensor->data) + second * tensor->nb[1] + third * tensor->nb[2]);
}

/** What an operation asks for. */
struct Problem {
  const ggml_tensor* queries;  // [size, tokens, heads] in f32
  const ggml_tensor* keys;     // [size, cells, key_heads] in f16, as the values
  const ggml_tensor* values;
  const ggml_tensor* mask;   // [cells, tokens] in f16, or null
  const ggml_tensor* sinks;  // [heads] scores that take part in the sums, or null
  ggml_tensor* result;       // [size, heads, tokens] in f32
  size_t size;
  size_t tokens;
  size_t heads;
  size_t key_heads;
  size_t cells;

  explicit Problem(ggml_tensor* operation)
      : queries(operation->src[0]),
        keys(operation->src[1]),
        values(operation->src[2]),
        mask(operation->src[3]),
        sinks(operation->src[4]),
        result(operation),
        size(static_cast<size_t>(queries->ne[0])),
        tokens(static_cast<size_t>(queries->ne[1])),
        heads(static_cast<size_t>(queries->ne[2])),
        key_heads(static_cast<size_t>(keys->ne[2])),
        cells(static_cast<size_t>(keys->ne[1])) {}

  /** Heads of queries that share one of keys. */
  size_t shared_by() const { return heads / key_heads; }
  size_t parts() const { return parts_of(cells, part_cells); }
  size_t spans() const { return std::min(parts(), most_spans); }
  size_t first_part(size_t span) const { return parts() * span / spans(); }
  /** Of few tokens every one has its own cells, and threads share the spans of these; of many the tokens. */
  bool has_few_tokens() const { return tokens <= group_tokens; }
  float* output(size_t token, size_t head) const { return at<float>(result, head, token); }
};

/** What threads leave for each other: outputs `[spans, tokens, heads, size]` of few tokens and the logarithms of their sums. */
struct Partial {
  float* outputs;
  float* log_sums;

  static size_t rows(const Problem& problem) {
    return problem.has_few_tokens() ? problem.spans() * problem.tokens * problem.heads : 0;
  }
  static size_t row(const Problem& problem, size_t span, size_t token, size_t head) {
    return (span * problem.tokens + token) * problem.heads + head;
  }
};

/** A thread's own memory. */
struct Scratch {
  uint16_t* tiles;   // of the keys of a part
  uint16_t* values;  // of its cells, side by side
  int32_t* cells;    // of a part, those that are seen
  float* bias;       // [tokens of a group][part_cells]
  float* largest;    // [part_cells] bias of all of them
  float* outputs;    // [tokens of a group][size]
  float* log_sums;   // [tokens of a group]
  float* totals;     // [heads that share keys][tokens of a group] logarithms of sums over all parts
};

/** Parts of the work memory one behind the other. */
class Layout {
 public:
  /** From that address on; from 0 on to find out how much is needed. */
  explicit Layout(uintptr_t begin) : begin_(begin), end_(begin) {}

  template <typename Value>
  Value* take(size_t count) {
    const uintptr_t place = end_;
    end_ += parts_of(count * sizeof(Value), kernels::cache_line) * kernels::cache_line;
    return reinterpret_cast<Value*>(place);
  }
  Partial take_partial(const Problem& problem) {
    const size_t rows = Partial::rows(problem);
    return {take<float>(rows * problem.size), take<float>(rows)};
  }
  Scratch take_scratch(const Problem& problem) {
    const size_t halves = part_cells * problem.size;
    return {take<uint16_t>(halves),
            take<uint16_t>(halves),
            take<int32_t>(part_cells),
            take<float>(group_tokens * part_cells),
            take<float>(part_cells),
            take<float>(group_tokens * problem.size),
            take<float>(group_tokens),
            take<float>(problem.shared_by() * group_tokens)};
  }
  size_t size() const { return end_ - begin_; }

 private:
  uintptr_t begin_;
  uintptr_t end_;
};

/** Adds a row over further cells to one: outputs that are means, and the logarithms of the sums that they were divided by. */
void merge(float* outputs, float& log_sum, const float* further, float further_log_sum, size_t size) {
  if (further_log_sum == -INFINITY) return;
  if (log_sum == -INFINITY) {
    std::copy_n(further, size, outputs);
    log_sum = further_log_sum;
    return;
  }
  const float larger = std::max(log_sum, further_log_sum);
  const float weight = std::exp(log_sum - larger);
  const float further_weight = std::exp(further_log_sum - larger);
  const float sum = weight + further_weight;
  for (size_t i = 0; i < size; ++i) outputs[i] = (weight * outputs[i] + further_weight * further[i]) / sum;
  log_sum = larger + std::log(sum);
}

/** All cells have been added: a row that sees none is 0, and a sink takes its share. */
void finish(const Problem& problem, size_t token, size_t head, float log_sum) {
  float* output = problem.output(token, head);
  if (log_sum == -INFINITY) std::fill_n(output, problem.size, 0.0F);
  if (problem.sinks == nullptr) return;
  const float share = 1 / (1 + std::exp(static_cast<const float*>(problem.sinks->data)[head] - log_sum));
  for (size_t i = 0; i < problem.size; ++i) output[i] *= share;
}

/** One thread's share of an operation. */
class Attender {
 public:
  Attender(const kernels::KernelSet& kernel_set, const Problem& problem, const Partial& partial, const Scratch& scratch)
      : kernel_set_(kernel_set),
        problem_(problem),
        partial_(partial),
        scratch_(scratch),
        scale_(parameter(problem.result, 0)),
        softcap_(parameter(problem.result, 2)) {}

  size_t pieces() const {
    const size_t groups =
        problem_.has_few_tokens() ? problem_.spans() * problem_.tokens : parts_of(problem_.tokens, group_tokens);
    return groups * problem_.key_heads;
  }

  void attend(size_t piece) const {
    const size_t key_head = piece % problem_.key_heads;
    const size_t group = piece / problem_.key_heads;
    if (problem_.has_few_tokens()) attend_span(group / problem_.tokens, group % problem_.tokens, key_head);
    else attend_group(parts_of(problem_.tokens, group_tokens) - 1 - group, key_head);  // the last tokens see most
  }

  /** The spans of one row of few tokens. */
  void merge_spans(size_t token, size_t head) const {
    float total = -INFINITY;
    for (size_t span = 0; span < problem_.spans(); ++span) {
      const size_t row = Partial::row(problem_, span, token, head);
      merge(problem_.output(token, head), total, partial_.outputs + row * problem_.size, partial_.log_sums[row],
            problem_.size);
    }
    finish(problem_, token, head, total);
  }

 private:
  size_t cells_of(size_t part) const { return std::min(part_cells, problem_.cells - part * part_cells); }

  /** The mask of a part for one token -> how many of its cells are to be looked at: the last that it sees is among them. */
  size_t read_mask(size_t part, size_t token, float* bias) const {
    size_t count = cells_of(part);
    if (problem_.mask == nullptr) {
      std::fill_n(bias, count, 0.0F);
      return count;
    }
    kernel_set_.to_floats(at<uint16_t>(problem_.mask, token, 0) + part * part_cells, count, bias);
    while (count > 0 && bias[count - 1] == -INFINITY) --count;
    return count;
  }

  /** One head of the first of the listed cells. */
  void pack(size_t key_head, size_t count) const {
    kernel_set_.pack_cells({at<uint16_t>(problem_.keys, 0, key_head), at<uint16_t>(problem_.values, 0, key_head),
                            problem_.keys->nb[1] / sizeof(uint16_t), problem_.size, scratch_.cells, count},
                           scratch_.tiles, scratch_.values);
  }

  kernels::Attention task_over(size_t count) const {
    kernels::Attention task{};
    task.keys = scratch_.tiles;
    task.values = scratch_.values;
    task.head_size = problem_.size;
    task.count = count;
    task.bias = scratch_.bias;
    task.output_stride = problem_.size;
    task.scale = scale_;
    task.softcap = softcap_;
    return task;
  }

  /** The heads that share keys, of one token over the cells of a span that it sees. */
  void attend_span(size_t span, size_t token, size_t key_head) const {
    const size_t heads = problem_.shared_by();
    const size_t row = Partial::row(problem_, span, token, key_head * heads);
    std::fill_n(partial_.log_sums + row, heads, -INFINITY);
    for (size_t part = problem_.first_part(span); part < problem_.first_part(span + 1); ++part) {
      const size_t count = list_seen(part, read_mask(part, token, scratch_.bias), scratch_.bias, 1);
      if (count == 0) continue;
      if (heads >= heads_for_tiles) attend_tiles(token, key_head, count, row);
      else attend_cells(token, key_head, count, row);
    }
  }

  /** Lists the cells of a part that one of the rows of the bias sees, and moves these together; how many. */
  size_t list_seen(size_t part, size_t count, const float* largest, size_t rows) const {
    size_t seen = 0;
    for (size_t j = 0; j < count; ++j) {
      if (largest[j] == -INFINITY) continue;
      scratch_.cells[seen] = static_cast<int32_t>(part * part_cells + j);
      if (seen < j) {
        for (size_t row = 0; row < rows; ++row) scratch_.bias[row * part_cells + seen] = scratch_.bias[row * part_cells + j];
      }
      ++seen;
    }
    return seen;
  }

  void attend_tiles(size_t token, size_t key_head, size_t count, size_t row) const {
    pack(key_head, count);
    kernels::Attention task = task_over(count);
    task.query_stride = problem_.queries->nb[2] / sizeof(float);
    task.output = scratch_.outputs;
    task.log_sums = scratch_.log_sums;
    const size_t heads = problem_.shared_by();
    for (size_t head = 0; head < heads; head += task.rows) {
      task.rows = std::min(kernels::max_attention_rows, heads - head);
      task.queries = at<float>(problem_.queries, token, key_head * heads + head);
      kernel_set_.attend(task);
      for (size_t i = 0; i < task.rows; ++i) add_to_partial(row + head + i, i);
    }
  }

  void attend_cells(size_t token, size_t key_head, size_t count, size_t row) const {
    kernels::CellAttention task{};
    task.keys = at<uint16_t>(problem_.keys, 0, key_head);
    task.values = at<uint16_t>(problem_.values, 0, key_head);
    task.cell_stride = problem_.keys->nb[1] / sizeof(uint16_t);
    task.head_size = problem_.size;
    task.cells = scratch_.cells;
    task.count = count;
    task.bias = scratch_.bias;
    task.output = scratch_.outputs;
    task.scale = scale_;
    task.softcap = softcap_;
    task.log_sum = scratch_.log_sums;
    for (size_t head = 0; head < problem_.shared_by(); ++head) {
      task.query = at<float>(problem_.queries, token, key_head * problem_.shared_by() + head);
      kernel_set_.attend_cells(task);
      add_to_partial(row + head, 0);
    }
  }

  /** What was computed for one row of a part. */
  void add_to_partial(size_t row, size_t computed) const {
    merge(partial_.outputs + row * problem_.size, partial_.log_sums[row], scratch_.outputs + computed * problem_.size,
          scratch_.log_sums[computed], problem_.size);
  }

  /** The heads that share keys, of a group of tokens over all parts. */
  void attend_group(size_t group, size_t key_head) const {
    const size_t first = group * group_tokens;
    const size_t tokens = std::min(group_tokens, problem_.tokens - first);
    const size_t heads = problem_.shared_by();
    std::fill_n(scratch_.totals, heads * group_tokens, -INFINITY);
    for (size_t part = 0; part < problem_.parts(); ++part) {
      const size_t count = read_masks(part, first, tokens);
      if (count == 0) continue;
      pack(key_head, count);
      for (size_t head = 0; head < heads; ++head) {
        add_part({first, tokens, key_head * heads + head}, count, scratch_.totals + head * group_tokens);
      }
    }
    for (size_t i = 0; i < heads * tokens; ++i) {
      const size_t head = i / tokens;
      finish(problem_, first + i % tokens, key_head * heads + head, scratch_.totals[head * group_tokens + i % tokens]);
    }
  }

  /** The masks of a part for some tokens -> how many of its cells one of them sees, which are listed. */
  size_t read_masks(size_t part, size_t first, size_t tokens) const {
    std::fill_n(scratch_.largest, part_cells, -INFINITY);
    size_t count = 0;
    for (size_t i = 0; i < tokens; ++i) {
      float* bias = scratch_.bias + i * part_cells;
      count = std::max(count, read_mask(part, first + i, bias));
      for (size_t j = 0; j < cells_of(part); ++j) scratch_.largest[j] = std::max(scratch_.largest[j], bias[j]);
    }
    return list_seen(part, count, scratch_.largest, tokens);
  }

  /** One head of some tokens. */
  struct Rows {
    size_t first;
    size_t tokens;
    size_t head;
  };

  void add_part(const Rows& rows, size_t count, float* totals) const {
    kernels::Attention task = task_over(count);
    task.queries = at<float>(problem_.queries, rows.first, rows.head);
    task.query_stride = problem_.queries->nb[1] / sizeof(float);
    task.rows = rows.tokens;
    task.bias_stride = static_cast<ptrdiff_t>(part_cells);
    task.output = scratch_.outputs;
    task.log_sums = scratch_.log_sums;
    kernel_set_.attend(task);
    for (size_t i = 0; i < rows.tokens; ++i) {
      merge(problem_.output(rows.first + i, rows.head), totals[i], scratch_.outputs + i * problem_.size,
            scratch_.log_sums[i], problem_.size);
    }
  }

  const kernels::KernelSet& kernel_set_;
  const Problem& problem_;
  const Partial& partial_;
  const Scratch& scratch_;
  float scale_;
  float softcap_;
};

thread_local AttentionOfGraphs planned;

}  // namespace

AttentionOfGraphs take_attention_of_graphs() { return std::exchange(planned, {}); }

void note_attention(bool is_ours) { (is_ours ? planned.is_ours : planned.is_ggmls) = true; }

bool FlashAttention::computes(const ggml_tensor* operation) {
  const ggml_tensor* queries = operation->src[0];
  const ggml_tensor* keys = operation->src[1];
  const ggml_tensor* values = operation->src[2];
  const ggml_tensor* mask = operation->src[3];
  const auto is_halves = [](const ggml_tensor* tensor) {
    return tensor->type == GGML_TYPE_F16 && tensor->nb[0] == sizeof(uint16_t) && tensor->ne[3] == 1;
  };
  const int64_t size = queries->ne[0];
  const bool has_heads = size <= static_cast<int64_t>(kernels::max_head_size) &&
                         size % static_cast<int64_t>(kernels::head_size_multiple) == 0 && size == values->ne[0] &&
                         keys->ne[2] == values->ne[2] && keys->nb[1] == values->nb[1];
  const float slope_of_heads = parameter(operation, 1);  // ALiBi: the mask differs from head to head
  return queries->type == GGML_TYPE_F32 && queries->nb[0] == sizeof(float) && queries->ne[3] == 1 && is_halves(keys) &&
         is_halves(values) && has_heads && slope_of_heads == 0 &&
         (mask == nullptr || (is_halves(mask) && mask->ne[2] == 1));
}

bool FlashAttention::work_size(int threads, const ggml_tensor* operation, size_t& size) {
  const Problem problem(const_cast<ggml_tensor*>(operation));
  Layout layout(0);
  layout.take<std::atomic<size_t>>(1);
  layout.take_partial(problem);
  for (int thread = 0; thread < threads; ++thread) layout.take_scratch(problem);
  size = layout.size();
  return true;
}

bool FlashAttention::compute_forward(ggml_compute_params* parameters, ggml_tensor* operation) {
  const Problem problem(operation);
  Layout layout(reinterpret_cast<uintptr_t>(parameters->wdata));
  auto* next = layout.take<std::atomic<size_t>>(1);
  const Partial partial = layout.take_partial(problem);
  Scratch scratch = layout.take_scratch(problem);
  for (int thread = 0; thread < parameters->ith; ++thread) scratch = layout.take_scratch(problem);
  const Attender attender(kernel_set_, problem, partial, scratch);
  if (parameters->ith == 0) new (next) std::atomic<size_t>(0);
  barrier_(parameters->threadpool);
  const size_t pieces = attender.pieces();
  for (size_t piece = (*next)++; piece < pieces; piece = (*next)++) attender.attend(piece);
  if (!problem.has_few_tokens()) return true;
  barrier_(parameters->threadpool);
  const auto threads = static_cast<size_t>(parameters->nth);
  for (size_t row = static_cast<size_t>(parameters->ith); row < problem.tokens * problem.heads; row += threads) {
    attender.merge_spans(row / problem.heads, row % problem.heads);
  }
  return true;
}

}  // namespace tandem

#else

namespace tandem {

AttentionOfGraphs take_attention_of_graphs() { return {}; }

}  // namespace tandem

#endif
