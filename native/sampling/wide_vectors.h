#pragma once
#include <cstddef>  // says which C library this is

/**
 * What looks at every score of a row is compiled for AVX2 as well, where the system chooses between two forms of a function
 * when it loads the addon. Without fused products, so that both compute the same to the last bit.
 */
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TANDEM_WIDE_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define TANDEM_WIDE_VECTORS
#endif
