#include "engine/weights_reader.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/error.h"
#include "engine/parallel.h"

namespace tandem {

namespace {

constexpr size_t piece_bytes = 4 << 20;  // large enough for the disk, small beside any model
constexpr size_t packed_piece_bytes = 256 << 10;  // stays in a core's second cache until it is packed

/** Bytes of one tensor that a thread reads at once. */
struct Piece {
  const WeightsTarget* target;
  size_t first;
  size_t size;
};

std::vector<Piece> pieces_of(const std::vector<WeightsTarget>& targets) {
  std::vector<Piece> pieces;
  for (const auto& target : targets) {
    size_t length = piece_bytes;
    if (target.packed != nullptr) {
      const size_t panel = target.tensor->nb[1] * kernels::panel_outputs;
      length = std::max<size_t>(1, packed_piece_bytes / panel) * panel;
    }
    for (size_t first = 0; first < target.entry.size; first += length) {
      pieces.push_back({&target, first, std::min<size_t>(length, target.entry.size - first)});
    }
  }
  return pieces;
}

class Reader {
 public:
  Reader(const std::string& path, const std::vector<WeightsTarget>& targets, const CancelFlag& cancel)
      : path_(path), pieces_(pieces_of(targets)), cancel_(cancel) {}

  size_t pieces() const { return pieces_.size(); }

  /** What each thread does until no pieces are left, or one of them fails. */
  void work() {
    try {
      read_pieces();
    } catch (...) {
      failed_ = true;
      throw;
    }
  }

 private:
  void read_pieces() {
    std::ifstream file(std::filesystem::u8path(path_), std::ios::binary);
    if (!file) throw EngineError("io", "cannot open " + path_);
    std::vector<char> bytes;
    while (!failed_.load()) {
      const size_t number = next_.fetch_add(1);
      if (number >= pieces_.size()) return;
      if (cancel_.load()) throw EngineError("aborted", "loading was cancelled");
      const Piece& piece = pieces_[number];
      bytes.resize(piece.size);
      file.seekg(static_cast<std::streamoff>(piece.target->entry.offset + piece.first));
      if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
        throw EngineError("io", path_ + " ended while tensor " + piece.target->entry.name + " was read");
      }
      place(piece, bytes);
    }
  }

  static void place(const Piece& piece, const std::vector<char>& bytes) {
    auto* tensor = piece.target->tensor;
    if (piece.target->packed == nullptr) {
      library().ggml_backend_tensor_set(tensor, bytes.data(), piece.first, bytes.size());
      return;
    }
    piece.target->packed->pack(piece.first / tensor->nb[1], bytes.size() / tensor->nb[1],
                               reinterpret_cast<const std::byte*>(bytes.data()));
  }

  const std::string& path_;
  const std::vector<Piece> pieces_;
  const CancelFlag& cancel_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace

void read_weights(const std::string& path, const std::vector<WeightsTarget>& targets, int32_t threads,
                  const CancelFlag& cancel) {
  Reader reader(path, targets, cancel);
  in_parallel(std::min(static_cast<size_t>(threads), reader.pieces()), [&] { reader.work(); });
}

}  // namespace tandem
