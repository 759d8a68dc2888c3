#include "kernels/processor.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>

namespace tandem::kernels {

namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/** Zeros for a leaf that the processor does not know. */
Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers found;
  if (__get_cpuid_count(leaf, subleaf, &found.eax, &found.ebx, &found.ecx, &found.edx) == 0) return {};
  return found;
}

/** The register states that the system saves (XCR0). */
uint32_t saved_states() {
  uint32_t low;
  uint32_t high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has_all(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

}  // namespace

// Bits: Intel's Software Developer's Manual, volume 2A, CPUID, and volume 1, chapter 13 (XCR0).
Processor processor() {
  constexpr uint32_t fma = 1U << 12;
  constexpr uint32_t osxsave = 1U << 27;
  constexpr uint32_t avx_and_f16c = 3U << 28;
  constexpr uint32_t avx2 = 1U << 5;
  constexpr uint32_t avx512_f_dq_bw_vl = 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31;
  constexpr uint32_t avx512_vnni = 1U << 11;
  constexpr uint32_t avx_vnni = 1U << 4;
  constexpr uint32_t xmm_ymm = 6;
  constexpr uint32_t masks_zmm = 0xe0;

  Processor found;
  if (!has_all(cpuid(1, 0).ecx, fma | osxsave | avx_and_f16c)) return found;
  const uint32_t states = saved_states();
  const Registers features = cpuid(7, 0);
  found.has_avx2 = has_all(states, xmm_ymm) && has_all(features.ebx, avx2);
  found.has_avxvnni = found.has_avx2 && has_all(cpuid(7, 1).eax, avx_vnni);
  found.has_avx512vnni = found.has_avx2 && has_all(states, masks_zmm) &&
                         has_all(features.ebx, avx512_f_dq_bw_vl) && has_all(features.ecx, avx512_vnni);
  return found;
}

}  // namespace tandem::kernels

#else

namespace tandem::kernels {

Processor processor() { return {}; }

}  // namespace tandem::kernels

#endif
