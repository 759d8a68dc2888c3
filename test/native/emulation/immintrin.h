// Stands before the compiler's own header, so that the files of instruction sets which this processor may lack run here
// as they are: what they use beyond AVX2 is written out, as Intel's Intrinsics Guide defines it, over AVX2.
#pragma once
#include_next <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace emulation {

struct Integers512 {
  __m256i halves[2];
};
struct Floats512 {
  __m256 halves[2];
};

/** Adds, in each lane of 32 bits, the products of four unsigned with four signed bytes, without saturation. */
inline __m256i dpbusd_256(__m256i sums, __m256i unsigned_bytes, __m256i signed_bytes) {
  int32_t lanes[8];
  uint8_t a[32];
  int8_t b[32];
  std::memcpy(lanes, &sums, sizeof(lanes));
  std::memcpy(a, &unsigned_bytes, sizeof(a));
  std::memcpy(b, &signed_bytes, sizeof(b));
  for (size_t i = 0; i < 32; ++i) lanes[i / 4] += a[i] * b[i];
  std::memcpy(&sums, lanes, sizeof(lanes));
  return sums;
}

inline Integers512 dpbusd_512(const Integers512& sums, const Integers512& a, const Integers512& b) {
  return {{dpbusd_256(sums.halves[0], a.halves[0], b.halves[0]), dpbusd_256(sums.halves[1], a.halves[1], b.halves[1])}};
}
inline Integers512 and_si512(const Integers512& a, const Integers512& b) {
  return {{_mm256_and_si256(a.halves[0], b.halves[0]), _mm256_and_si256(a.halves[1], b.halves[1])}};
}
inline Integers512 srli_epi16(const Integers512& a, int count) {
  return {{_mm256_srli_epi16(a.halves[0], count), _mm256_srli_epi16(a.halves[1], count)}};
}
inline Integers512 slli_epi16(const Integers512& a, int count) {
  return {{_mm256_slli_epi16(a.halves[0], count), _mm256_slli_epi16(a.halves[1], count)}};
}
inline Integers512 or_si512(const Integers512& a, const Integers512& b) {
  return {{_mm256_or_si256(a.halves[0], b.halves[0]), _mm256_or_si256(a.halves[1], b.halves[1])}};
}
inline Integers512 set1_epi8(char value) { return {{_mm256_set1_epi8(value), _mm256_set1_epi8(value)}}; }
inline Integers512 set1_epi32(int32_t value) { return {{_mm256_set1_epi32(value), _mm256_set1_epi32(value)}}; }
inline Floats512 set1_ps(float value) { return {{_mm256_set1_ps(value), _mm256_set1_ps(value)}}; }
/** As the instruction does, this one faults when `memory` is not aligned to its 64 bytes. */
inline Integers512 load_si512(const void* memory) {
  if (reinterpret_cast<uintptr_t>(memory) % 64 != 0) __builtin_trap();
  const auto* halves = static_cast<const __m256i*>(memory);
  return {{_mm256_load_si256(halves), _mm256_load_si256(halves + 1)}};
}
inline Integers512 cvtepu8_epi32(__m128i a) {
  return {{_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8))}};
}
inline Integers512 cvtepi8_epi32(__m128i a) {
  return {{_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8))}};
}
inline Floats512 cvtepi32_ps(const Integers512& a) {
  return {{_mm256_cvtepi32_ps(a.halves[0]), _mm256_cvtepi32_ps(a.halves[1])}};
}
inline Integers512 cvtps_epi32(const Floats512& a) {
  return {{_mm256_cvtps_epi32(a.halves[0]), _mm256_cvtps_epi32(a.halves[1])}};
}
inline __m128i cvtepi32_epi8(const Integers512& a) {
  int32_t lanes[16];
  std::memcpy(lanes, &a, sizeof(lanes));
  uint8_t bytes[16];
  for (size_t i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(lanes[i]);
  __m128i result;
  std::memcpy(&result, bytes, sizeof(bytes));
  return result;
}
inline Floats512 castsi512_ps(const Integers512& a) {
  return {{_mm256_castsi256_ps(a.halves[0]), _mm256_castsi256_ps(a.halves[1])}};
}
inline Floats512 cvtph_ps(__m256i a) {
  return {{_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))}};
}
inline __m256i cvtps_ph(const Floats512& a, int) {
  return _mm256_set_m128i(_mm256_cvtps_ph(a.halves[1], _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(a.halves[0], _MM_FROUND_TO_NEAREST_INT));
}
inline Floats512 max_ps(const Floats512& a, const Floats512& b) {
  return {{_mm256_max_ps(a.halves[0], b.halves[0]), _mm256_max_ps(a.halves[1], b.halves[1])}};
}
inline float reduce_max_ps(const Floats512& a) {
  float lanes[16];
  std::memcpy(lanes, &a, sizeof(lanes));
  float largest = lanes[0];
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}
inline Floats512 mul_ps(const Floats512& a, const Floats512& b) {
  return {{_mm256_mul_ps(a.halves[0], b.halves[0]), _mm256_mul_ps(a.halves[1], b.halves[1])}};
}
inline Floats512 fmadd_ps(const Floats512& a, const Floats512& b, const Floats512& c) {
  return {{_mm256_fmadd_ps(a.halves[0], b.halves[0], c.halves[0]),
           _mm256_fmadd_ps(a.halves[1], b.halves[1], c.halves[1])}};
}
inline Floats512 loadu_ps(const float* source) { return {{_mm256_loadu_ps(source), _mm256_loadu_ps(source + 8)}}; }
inline float reduce_add_ps(const Floats512& a) {
  float lanes[16];
  std::memcpy(lanes, &a, sizeof(lanes));
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}
inline void storeu_ps(float* target, const Floats512& a) {
  _mm256_storeu_ps(target, a.halves[0]);
  _mm256_storeu_ps(target + 8, a.halves[1]);
}

}  // namespace emulation

#define __m512i emulation::Integers512
#define __m512 emulation::Floats512
#define _mm256_dpbusd_avx_epi32 emulation::dpbusd_256
#define _mm512_dpbusd_epi32 emulation::dpbusd_512
#define _mm512_and_si512 emulation::and_si512
#define _mm512_srli_epi16 emulation::srli_epi16
#define _mm512_slli_epi16 emulation::slli_epi16
#define _mm512_or_si512 emulation::or_si512
#define _mm512_set1_epi8 emulation::set1_epi8
#define _mm512_set1_epi32 emulation::set1_epi32
#define _mm512_set1_ps emulation::set1_ps
#define _mm512_load_si512 emulation::load_si512
#define _mm512_cvtepi8_epi32 emulation::cvtepi8_epi32
#define _mm512_cvtepu8_epi32 emulation::cvtepu8_epi32
#define _mm512_cvtepi32_ps emulation::cvtepi32_ps
#define _mm512_cvtps_epi32 emulation::cvtps_epi32
#define _mm512_cvtepi32_epi8 emulation::cvtepi32_epi8
#define _mm512_castsi512_ps emulation::castsi512_ps
#define _mm512_cvtph_ps emulation::cvtph_ps
#define _mm512_cvtps_ph emulation::cvtps_ph
#define _mm512_max_ps emulation::max_ps
#define _mm512_reduce_max_ps emulation::reduce_max_ps
#define _mm512_mul_ps emulation::mul_ps
#define _mm512_fmadd_ps emulation::fmadd_ps
#define _mm512_loadu_ps emulation::loadu_ps
#define _mm512_reduce_add_ps emulation::reduce_add_ps
#define _mm512_storeu_ps emulation::storeu_ps
