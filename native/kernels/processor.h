#pragma once

namespace tandem::kernels {

/** What the processor has and the system saves when it changes threads. */
struct Processor {
  bool has_avx2 = false;        // with FMA and conversions of half precision
  bool has_avxvnni = false;     // and all of the above
  bool has_avx512vnni = false;  // with F, BW, DQ and VL, and AVX2
};

Processor processor();

}  // namespace tandem::kernels
