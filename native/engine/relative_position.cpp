#include "engine/relative_position.h"

#include <algorithm>
#include <cmath>

namespace tandem {

RelativePosition::RelativePosition(int32_t buckets, int32_t max_distance, bool bidirectional)
    : per_direction_(bidirectional ? buckets / 2 : buckets), max_distance_(max_distance),
      bidirectional_(bidirectional),
      octaves_(std::log(static_cast<double>(max_distance) / (per_direction_ / 2))) {}

int32_t RelativePosition::bucket(int64_t relative) const {
  const int32_t base = bidirectional_ && relative > 0 ? per_direction_ : 0;
  const int64_t distance = bidirectional_ ? std::abs(relative) : std::max<int64_t>(-relative, 0);
  const int32_t exact = per_direction_ / 2;
  if (distance < exact) return base + static_cast<int32_t>(distance);
  if (distance >= max_distance_) return base + per_direction_ - 1;
  const double octaves = std::log(static_cast<double>(distance) / exact) / octaves_;
  const auto logarithmic = static_cast<int64_t>(octaves * (per_direction_ - exact));
  return base + static_cast<int32_t>(std::clamp<int64_t>(exact + logarithmic, 0, per_direction_ - 1));
}

}  // namespace tandem
