#include "kernels/packed_memory.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace tandem::kernels {

namespace {

constexpr size_t huge_page = 2 << 20;
constexpr auto alignment = static_cast<std::align_val_t>(huge_page);

}  // namespace

void PackedMemory::Free::operator()(std::byte* memory) const { ::operator delete(memory, alignment); }

PackedMemory::PackedMemory(size_t bytes) : memory_(static_cast<std::byte*>(::operator new(bytes, alignment))) {
#if defined(__linux__)
  // Advice only: what remains of a last huge page is not asked for, and a refusal changes nothing but the speed.
  madvise(memory_.get(), bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
}

}  // namespace tandem::kernels
