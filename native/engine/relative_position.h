#pragma once
#include <cstdint>

namespace tandem {

/**
 * T5's bucket of a relative position (Raffel et al. 2020, section 2.1): exact for small distances, logarithmic up to
 * `max_distance`, one bucket beyond. `relative` is the key's position minus the query's. Bidirectional in the encoder,
 * where half of the buckets look ahead; in the decoder keys ahead do not exist.
 */
class RelativePosition {
 public:
  /** At least 4 buckets, and a `max_distance` beyond the exact ones (half of `buckets`). */
  RelativePosition(int32_t buckets, int32_t max_distance, bool bidirectional);
  int32_t bucket(int64_t relative) const;

 private:
  int32_t per_direction_;
  int32_t max_distance_;
  bool bidirectional_;
  double octaves_;  // from the exact buckets to the last one
};

}  // namespace tandem
