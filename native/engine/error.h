#pragma once
#include <stdexcept>
#include <string>

namespace tandem {

/** Becomes a TandemError in TypeScript; `code` is one of `ErrorCode` in src/errors.ts. */
class EngineError : public std::runtime_error {
 public:
  EngineError(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace tandem
