#pragma once
#include <cstddef>
#include <memory>

namespace tandem::kernels {

/**
 * Memory for all packed matrices of a model, in huge pages where the system grants them: a step reads it from one end to
 * the other, and with pages of 4 KiB a core read 11.5 GB/s where it read 13.1 (AMD Zen 3).
 */
class PackedMemory {
 public:
  /** Throws std::bad_alloc. */
  explicit PackedMemory(size_t bytes);
  std::byte* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace tandem::kernels
