#pragma once
#include <new>
#include <optional>
#include <string>

#include "engine/error.h"

namespace tandem {

/** Why a thread could not do its work, to be told to another one. */
struct Failure {
  std::string code;
  std::string message;
};

/** Runs `work`; nothing it throws leaves the thread. */
template <typename Work>
std::optional<Failure> attempt(Work work) {
  try {
    work();
    return std::nullopt;
  } catch (const EngineError& error) {
    return Failure{error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return Failure{"out-of-memory", "not enough memory"};
  } catch (const std::exception& error) {
    return Failure{"compute-failed", error.what()};
  } catch (...) {
    return Failure{"compute-failed", "an unknown error"};
  }
}

}  // namespace tandem
