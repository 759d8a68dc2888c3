#include "engine/attender.h"

#include <algorithm>
#include <cmath>

namespace tandem {

namespace {

/** Fewer heads read keys where they lie: to bring these into tiles takes as long as to compute with them. */
constexpr size_t heads_for_tiles = 3;

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
void finish(const AttentionProblem& problem, size_t token, size_t head, float log_sum) {
  float* output = problem.output(token, head);
  if (log_sum == -INFINITY) std::fill_n(output, problem.size, 0.0F);
  if (problem.sinks == nullptr) return;
  const float share = 1 / (1 + std::exp(static_cast<const float*>(problem.sinks->data)[head] - log_sum));
  for (size_t i = 0; i < problem.size; ++i) output[i] *= share;
}

}  // namespace

size_t Attender::pieces() const {
  const size_t groups =
      problem_.has_few_tokens() ? problem_.spans() * problem_.tokens : parts_of(problem_.tokens, group_tokens);
  return groups * problem_.key_heads;
}

void Attender::attend(size_t piece) const {
  const size_t key_head = piece % problem_.key_heads;
  const size_t group = piece / problem_.key_heads;
  if (problem_.has_few_tokens()) attend_span(group / problem_.tokens, group % problem_.tokens, key_head);
  else attend_group(parts_of(problem_.tokens, group_tokens) - 1 - group, key_head);  // the last tokens see most
}

void Attender::merge_spans(size_t token, size_t head) const {
  float total = -INFINITY;
  for (size_t span = 0; span < problem_.spans(); ++span) {
    const size_t row = Partial::row(problem_, span, token, head);
    merge(problem_.output(token, head), total, partial_.outputs + row * problem_.size, partial_.log_sums[row],
          problem_.size);
  }
  finish(problem_, token, head, total);
}

/** The mask of a part for one token -> how many of its cells are to be looked at: the last that it sees is among them. */
size_t Attender::read_mask(size_t part, size_t token, float* bias) const {
  size_t count = cells_of(part);
  if (problem_.mask == nullptr) {
    std::fill_n(bias, count, 0.0F);
    return count;
  }
  kernel_set_.to_floats(problem_.mask_of(token) + part * part_cells, count, bias);
  while (count > 0 && bias[count - 1] == -INFINITY) --count;
  return count;
}

/** One head of the first of the listed cells. */
void Attender::pack(size_t key_head, size_t count) const {
  kernel_set_.pack_cells({problem_.keys_of(key_head), problem_.values_of(key_head), problem_.cell_stride(), problem_.size,
                          scratch_.cells, count},
                         scratch_.tiles, scratch_.values);
}

kernels::Attention Attender::task_over(size_t count) const {
  kernels::Attention task{};
  task.keys = scratch_.tiles;
  task.values = scratch_.values;
  task.head_size = problem_.size;
  task.count = count;
  task.bias = scratch_.bias;
  task.output = scratch_.outputs;
  task.output_stride = problem_.size;
  task.log_sums = scratch_.log_sums;
  task.scale = problem_.scale;
  task.softcap = problem_.softcap;
  return task;
}

/** The heads that share keys, of one token over the cells of a span that it sees. */
void Attender::attend_span(size_t span, size_t token, size_t key_head) const {
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
size_t Attender::list_seen(size_t part, size_t count, const float* largest, size_t rows) const {
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

void Attender::attend_tiles(size_t token, size_t key_head, size_t count, size_t row) const {
  pack(key_head, count);
  kernels::Attention task = task_over(count);
  task.query_stride = problem_.queries->nb[2] / sizeof(float);
  const size_t heads = problem_.shared_by();
  for (size_t head = 0; head < heads; head += task.rows) {
    task.rows = std::min(kernels::max_attention_rows, heads - head);
    task.queries = problem_.query(token, key_head * heads + head);
    kernel_set_.attend(task);
    for (size_t i = 0; i < task.rows; ++i) add_to_partial(row + head + i, i);
  }
}

void Attender::attend_cells(size_t token, size_t key_head, size_t count, size_t row) const {
  kernels::CellAttention task{};
  task.keys = problem_.keys_of(key_head);
  task.values = problem_.values_of(key_head);
  task.cell_stride = problem_.cell_stride();
  task.head_size = problem_.size;
  task.cells = scratch_.cells;
  task.count = count;
  task.bias = scratch_.bias;
  task.output = scratch_.outputs;
  task.scale = problem_.scale;
  task.softcap = problem_.softcap;
  task.log_sum = scratch_.log_sums;
  for (size_t head = 0; head < problem_.shared_by(); ++head) {
    task.query = problem_.query(token, key_head * problem_.shared_by() + head);
    kernel_set_.attend_cells(task);
    add_to_partial(row + head, 0);
  }
}

/** What was computed for one row of a part. */
void Attender::add_to_partial(size_t row, size_t computed) const {
  merge(partial_.outputs + row * problem_.size, partial_.log_sums[row], scratch_.outputs + computed * problem_.size,
        scratch_.log_sums[computed], problem_.size);
}

/** The heads that share keys, of a group of tokens over all parts. */
void Attender::attend_group(size_t group, size_t key_head) const {
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
size_t Attender::read_masks(size_t part, size_t first, size_t tokens) const {
  std::fill_n(scratch_.largest, part_cells, -INFINITY);
  size_t count = 0;
  for (size_t i = 0; i < tokens; ++i) {
    float* bias = scratch_.bias + i * part_cells;
    count = std::max(count, read_mask(part, first + i, bias));
    for (size_t j = 0; j < cells_of(part); ++j) scratch_.largest[j] = std::max(scratch_.largest[j], bias[j]);
  }
  return list_seen(part, count, scratch_.largest, tokens);
}

void Attender::add_part(const Rows& rows, size_t count, float* totals) const {
  kernels::Attention task = task_over(count);
  task.queries = problem_.query(rows.first, rows.head);
  task.query_stride = problem_.queries->nb[1] / sizeof(float);
  task.rows = rows.tokens;
  task.bias_stride = static_cast<ptrdiff_t>(part_cells);
  kernel_set_.attend(task);
  for (size_t i = 0; i < rows.tokens; ++i) {
    merge(problem_.output(rows.first + i, rows.head), totals[i], scratch_.outputs + i * problem_.size,
          scratch_.log_sums[i], problem_.size);
  }
}

}  // namespace tandem
