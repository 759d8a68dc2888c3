// Computes ggml's fused attention with the kernels of all instruction sets, the absent ones emulated, on one thread and on
// three, and by its definition in double precision, and prints a line of JSON for each set: how far the results are from the
// definition, and how many of them depend on the number of threads.
#include "engine/flash_attention.h"

#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "kernels/instruction_sets.h"

// Not exported by ggml's libraries either.
ggml::cpu::tensor_traits::~tensor_traits() = default;

/** As much of ggml's as the operation sees: threads that wait for each other. */
struct ggml_threadpool {
  explicit ggml_threadpool(int size) : threads(size) {}
  const int threads;
  std::mutex mutex;
  std::condition_variable all_are_there;
  int waiting = 0;
  int turn = 0;

  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    const int mine = turn;
    if (++waiting == threads) {
      waiting = 0;
      ++turn;
      all_are_there.notify_all();
    }
    all_are_there.wait(lock, [&] { return turn != mine; });
  }
};

namespace {

using namespace tandem;

struct Shape {
  size_t size;
  size_t tokens;
  size_t heads;
  size_t key_heads;
  size_t cells;
  float softcap = 0;
  bool has_sinks = false;
  bool has_mask = true;
};

/** One in half precision, from numbers between 1 and 2 and their negatives, or infinity below. */
uint16_t random_half(std::mt19937& random) { return static_cast<uint16_t>(0x3c00 | random() % 1024 | random() % 2 << 15); }
double number(uint16_t bits) { return ((bits & 0x8000) != 0 ? -1 : 1) * (1 + (bits & 1023) / 1024.0); }
constexpr uint16_t hidden = 0xfc00;

/** An operation whose keys and values lie as libllama stores them, all heads of a cell side by side. */
class Problem {
 public:
  Problem(const Shape& shape, std::mt19937& random) : shape_(shape) {
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < shape.size * shape.tokens * shape.heads; ++i) queries_.push_back(normal(random));
    for (size_t i = 0; i < shape.size * shape.cells * shape.key_heads; ++i) {
      keys_.push_back(random_half(random));
      values_.push_back(random_half(random));
    }
    for (size_t i = 0; i < shape.heads; ++i) sinks_.push_back(normal(random));
    for (size_t token = 0; token < shape.tokens; ++token) hide(token, random);
    result_.resize(queries_.size());
    const auto floats = sizeof(float);
    const auto halves = sizeof(uint16_t);
    const auto& [size, tokens, heads, key_heads, cells, softcap, has_sinks, has_mask] = shape_;
    describe(query_tensor_, GGML_TYPE_F32, queries_.data(), {size, tokens, heads}, {size * heads * floats, size * floats});
    for (auto* tensor : {&key_tensor_, &value_tensor_}) {
      auto* data = tensor == &key_tensor_ ? keys_.data() : values_.data();
      describe(*tensor, GGML_TYPE_F16, data, {size, cells, key_heads}, {size * key_heads * halves, size * halves});
    }
    describe(mask_tensor_, GGML_TYPE_F16, mask_.data(), {cells, tokens, 1}, {cells * halves, cells * tokens * halves});
    describe(sink_tensor_, GGML_TYPE_F32, sinks_.data(), {heads, 1, 1}, {heads * floats, heads * floats});
    describe(operation_, GGML_TYPE_F32, result_.data(), {size, heads, tokens}, {size * floats, size * heads * floats});
    operation_.op = GGML_OP_FLASH_ATTN_EXT;
    operation_.src[0] = &query_tensor_;
    operation_.src[1] = &key_tensor_;
    operation_.src[2] = &value_tensor_;
    operation_.src[3] = has_mask ? &mask_tensor_ : nullptr;
    operation_.src[4] = has_sinks ? &sink_tensor_ : nullptr;
    const float parameters[3] = {scale(), 0, softcap};
    std::memcpy(operation_.op_params, parameters, sizeof(parameters));
  }
  Problem(const Problem&) = delete;

  ggml_tensor& operation() { return operation_; }
  ggml_tensor& keys() { return key_tensor_; }
  ggml_tensor& mask() { return mask_tensor_; }

  std::vector<float> compute(const kernels::KernelSet& set, int threads) {
    FlashAttention attention(set, [](ggml_threadpool* pool) { pool->wait(); });
    ggml_threadpool pool(threads);
    size_t size = 0;
    attention.work_size(threads, &operation_, size);
    std::vector<std::byte> memory(size, std::byte{0xff});  // which is no number
    result_.assign(result_.size(), NAN);
    std::vector<std::thread> running;
    for (int thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        ggml_compute_params parameters{thread, threads, memory.size(), memory.data(), &pool, false};
        attention.compute_forward(&parameters, &operation_);
      });
    }
    for (auto& thread : running) thread.join();
    return result_;
  }

  /** By definition: `[tokens][heads][size]`. */
  std::vector<double> defined() const {
    std::vector<double> all;
    for (size_t token = 0; token < shape_.tokens; ++token) {
      for (size_t head = 0; head < shape_.heads; ++head) {
        const auto row = defined(token, head);
        all.insert(all.end(), row.begin(), row.end());
      }
    }
    return all;
  }

 private:
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape_.size)); }

  /** Each token sees all before it and itself, of which some belong to others; the second sees nothing. */
  void hide(size_t token, std::mt19937& random) {
    const size_t end = shape_.cells - shape_.tokens + token + 1;
    for (size_t cell = 0; cell < shape_.cells; ++cell) {
      const bool is_others = token == 1 || (cell > 20 && cell < 50) || random() % 5 == 0;
      mask_.push_back(cell < end && !is_others ? 0 : hidden);
    }
  }

  static void describe(ggml_tensor& tensor, ggml_type type, void* data, std::vector<size_t> sizes,
                       std::vector<size_t> strides) {
    tensor.type = type;
    tensor.data = data;
    tensor.nb[0] = type == GGML_TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
    for (size_t i = 0; i < 3; ++i) tensor.ne[i] = static_cast<int64_t>(sizes[i]);
    tensor.ne[3] = 1;
    tensor.nb[1] = strides[0];
    tensor.nb[2] = strides[1];
  }

  std::vector<double> defined(size_t token, size_t head) const {
    const size_t key_head = head / (shape_.heads / shape_.key_heads);
    const float* query = &queries_[(token * shape_.heads + head) * shape_.size];
    double total = shape_.has_sinks ? std::exp(double{sinks_[head]}) : 0;
    std::vector<double> mixed(shape_.size);
    for (size_t cell = 0; cell < shape_.cells; ++cell) {
      if (shape_.has_mask && mask_[token * shape_.cells + cell] == hidden) continue;
      const size_t place = (cell * shape_.key_heads + key_head) * shape_.size;
      double score = 0;
      for (size_t i = 0; i < shape_.size; ++i) score += double{query[i]} * number(keys_[place + i]) * double{scale()};
      if (shape_.softcap != 0) score = shape_.softcap * std::tanh(score / shape_.softcap);
      total += std::exp(score);
      for (size_t i = 0; i < shape_.size; ++i) mixed[i] += std::exp(score) * number(values_[place + i]);
    }
    for (auto& value : mixed) value = total == 0 ? 0 : value / total;
    return mixed;
  }

  Shape shape_;
  std::vector<float> queries_;  // [tokens][heads][size]
  std::vector<uint16_t> keys_;  // [cells][key_heads][size]
  std::vector<uint16_t> values_;
  std::vector<uint16_t> mask_;  // [tokens][cells]
  std::vector<float> sinks_;
  std::vector<float> result_;  // [tokens][heads][size]
  ggml_tensor query_tensor_{}, key_tensor_{}, value_tensor_{}, mask_tensor_{}, sink_tensor_{}, operation_{};
};

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes;
  for (const size_t tokens : {1, 2, 24, 25, 60}) {
    for (const size_t cells : {60, 256, 300, 600}) {
      // Llama 2, Llama 3, Qwen2, and one head of keys for more of queries than the kernel takes at once.
      shapes.push_back({64, tokens, 4, 4, cells});
      shapes.push_back({128, tokens, 8, 2, cells});
      shapes.push_back({64, tokens, 14, 2, cells});
      shapes.push_back({16, tokens, 30, 1, cells});
    }
    // Gemma 2, gpt-oss, BERT
    for (const size_t heads : {1, 3}) shapes.push_back({256, tokens, 2 * heads, 2, 300, 5});
    for (const size_t heads : {1, 3}) shapes.push_back({64, tokens, 2 * heads, 2, 300, 0, true});
    shapes.push_back({32, tokens, 12, 12, 300, 0, false, false});
  }
  // More parts than are left for other threads to sum up.
  shapes.push_back({16, 1, 6, 2, 5000});
  shapes.push_back({16, 3, 4, 4, 4500});
  return shapes;
}

/** Of operations that are not ours, how many it would compute. */
int wrongly_accepted(std::mt19937& random) {
  const auto accepts = [&](const Shape& shape, void (*change)(Problem&)) {
    Problem problem(shape, random);
    change(problem);
    return FlashAttention::computes(&problem.operation()) ? 1 : 0;
  };
  const Shape shape{64, 3, 4, 2, 60};
  int count = 0;
  count += accepts(shape, [](Problem& problem) { problem.keys().type = GGML_TYPE_Q8_0; });
  count += accepts(shape, [](Problem& problem) { problem.keys().ne[3] = 2; });
  count += accepts(shape, [](Problem& problem) { problem.mask().ne[2] = 4; });
  count += accepts(shape, [](Problem& problem) {
    const float slope = 8;
    std::memcpy(problem.operation().op_params + 1, &slope, sizeof(slope));
  });
  count += accepts({72, 3, 4, 2, 60}, [](Problem&) {});
  count += accepts({272, 3, 4, 2, 60}, [](Problem&) {});
  return count;
}

}  // namespace

struct Findings {
  size_t different = 0;
  double error = 0;
};

int main() {
  const std::vector<const kernels::KernelSet*> sets = {&kernels::avx2, &kernels::avxvnni, &kernels::avx512vnni};
  const auto shapes = all_shapes();
  std::mt19937 random(1);
  std::vector<Findings> findings(sets.size());
  size_t accepted = 0;
  for (const auto& shape : shapes) {
    Problem problem(shape, random);
    const auto expected = problem.defined();
    accepted += FlashAttention::computes(&problem.operation()) ? 1 : 0;
    for (size_t i = 0; i < sets.size(); ++i) {
      const auto alone = problem.compute(*sets[i], 1);
      const auto shared = problem.compute(*sets[i], 3);
      findings[i].different += std::memcmp(alone.data(), shared.data(), alone.size() * sizeof(float)) != 0;
      for (size_t value = 0; value < expected.size(); ++value) {
        const double error = std::fabs(expected[value] - alone[value]);
        if (!(error <= findings[i].error)) findings[i].error = error;
      }
    }
  }
  for (size_t i = 0; i < sets.size(); ++i) {
    std::printf("{\"kernels\": \"%s\", \"shapes\": %zu, \"accepted\": %zu, \"wronglyAccepted\": %d, \"different\": %zu, "
                "\"error\": %g}\n",
                sets[i]->name, shapes.size(), accepted, wrongly_accepted(random), findings[i].different,
                findings[i].error);
  }
  return 0;
}
