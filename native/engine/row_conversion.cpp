#include "engine/row_conversion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <string>
#include <thread>

#include "engine/failure.h"
#include "engine/q8_0_rows.h"
#include "engine/weights.h"

namespace tandem {

namespace {

/** Values that a thread takes at once, as in llama_model_quantize: some 64 KiB of f32, which stay in the cache. */
constexpr int64_t batch_values = 32 * 512;

/** The largest number of half precision, in which the scales and minima of quantised blocks are stored. */
constexpr float largest_half = 65504.0F;

/** What the threads of one conversion share. */
struct Progress {
  std::atomic<int64_t> next_row{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::optional<Failure> failure;
};

/** A file with NaN or infinity in it computes nothing but NaN; ggml's quantisers would write it without a word. */
void check_values(const float* values, int64_t count, const RowConversion& conversion) {
  const bool is_wide = conversion.to == GGML_TYPE_F32 || conversion.to == GGML_TYPE_BF16;
  const float limit = is_wide ? std::numeric_limits<float>::max() : largest_half;
  const auto is_bad = [limit](float value) { return !(std::fabs(value) <= limit); };
  // Several at once, where a search for the first takes one by one.
  int32_t any = 0;
  for (int64_t i = 0; i < count; ++i) any |= is_bad(values[i]) ? 1 : 0;
  if (any == 0) return;
  const auto* bad = std::find_if(values, values + count, is_bad);
  throw EngineError("invalid-file", "the value " + std::to_string(*bad) + ", which " +
                                        library().ggml_type_name(conversion.to) + " cannot hold");
}

class Converter {
 public:
  Converter(const std::vector<uint8_t>& source, std::vector<uint8_t>& target, const RowConversion& conversion)
      : source_(source),
        target_(target),
        conversion_(conversion),
        source_row_(library().ggml_row_size(conversion.from, conversion.row_length)),
        target_row_(library().ggml_row_size(conversion.to, conversion.row_length)),
        rows_(static_cast<int64_t>(source.size() / source_row_)),
        batch_rows_(std::max<int64_t>(1, batch_values / conversion.row_length)) {}

  int64_t batches() const { return (rows_ + batch_rows_ - 1) / batch_rows_; }

  /** What each thread does until no rows are left. */
  void work(Progress& progress, const CancelFlag& cancel) const {
    std::vector<float> buffer;
    while (!progress.failed.load()) {
      const int64_t row = progress.next_row.fetch_add(batch_rows_);
      if (row >= rows_) return;
      if (cancel.load()) throw EngineError("aborted", "the conversion was cancelled");
      convert(row, std::min(batch_rows_, rows_ - row), buffer);
    }
  }

 private:
  void convert(int64_t row, int64_t rows, std::vector<float>& buffer) const {
    const Library& llama = library();
    const uint8_t* bytes = source_.data() + static_cast<size_t>(row) * source_row_;
    const int64_t count = rows * conversion_.row_length;
    const auto* values = reinterpret_cast<const float*>(bytes);
    if (conversion_.from != GGML_TYPE_F32) {
      buffer.resize(static_cast<size_t>(count));
      llama.ggml_get_type_traits(conversion_.from)->to_float(bytes, buffer.data(), count);
      values = buffer.data();
    }
    check_values(values, count, conversion_);
    auto* result = target_.data() + static_cast<size_t>(row) * target_row_;
    if (conversion_.to == GGML_TYPE_Q8_0) {
      quantize_q8_0(values, static_cast<size_t>(count / llama.ggml_blck_size(conversion_.to)), result);
    } else {
      llama.ggml_quantize_chunk(conversion_.to, values, result, 0, rows, conversion_.row_length, nullptr);
    }
  }

  const std::vector<uint8_t>& source_;
  std::vector<uint8_t>& target_;
  const RowConversion conversion_;
  const size_t source_row_;
  const size_t target_row_;
  const int64_t rows_;
  const int64_t batch_rows_;
};

void run(const Converter& converter, Progress& progress, const CancelFlag& cancel) {
  auto failure = attempt([&] { converter.work(progress, cancel); });
  if (!failure) return;
  std::lock_guard<std::mutex> lock(progress.mutex);
  if (!progress.failed.exchange(true)) progress.failure = std::move(failure);
}

}  // namespace

void check_conversion(const RowConversion& conversion, size_t bytes) {
  const Library& llama = library();
  // A number without a type has a block size of 0, and what has no float form (integers) no `to_float`.
  const bool is_read = conversion.from == GGML_TYPE_F32 ||
                       (llama.ggml_blck_size(conversion.from) > 0 &&
                        llama.ggml_get_type_traits(conversion.from)->to_float != nullptr);
  if (is_read && is_matrix_type(conversion.to) && conversion.row_length > 0 &&
      conversion.row_length % llama.ggml_blck_size(conversion.from) == 0 &&
      conversion.row_length % llama.ggml_blck_size(conversion.to) == 0 && conversion.threads > 0 &&
      bytes % llama.ggml_row_size(conversion.from, conversion.row_length) == 0) {
    return;
  }
  throw EngineError("invalid-argument", "rows of this length cannot be converted between these types");
}

std::vector<uint8_t> convert_rows(const std::vector<uint8_t>& source, const RowConversion& conversion,
                                  const CancelFlag& cancel) {
  check_conversion(conversion, source.size());
  const Library& llama = library();
  const size_t rows = source.size() / llama.ggml_row_size(conversion.from, conversion.row_length);
  std::vector<uint8_t> target(rows * llama.ggml_row_size(conversion.to, conversion.row_length));
  const Converter converter(source, target, conversion);
  Progress progress;
  std::vector<std::thread> helpers;
  const auto join = [&] {
    for (auto& helper : helpers) helper.join();
  };
  try {
    // This thread is one of them.
    while (static_cast<int64_t>(helpers.size()) + 1 < std::min<int64_t>(conversion.threads, converter.batches())) {
      helpers.emplace_back([&] { run(converter, progress, cancel); });
    }
  } catch (const std::exception&) {
    // A system that refuses more threads leaves the work to those there are.
  }
  run(converter, progress, cancel);
  join();
  if (progress.failure) throw EngineError(progress.failure->code, progress.failure->message);
  return target;
}

}  // namespace tandem
