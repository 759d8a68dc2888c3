#pragma once
#include <cstring>
#include <type_traits>

#include "kernels/activation_blocks.h"
#include "kernels/fetches.h"

// The product once, for every instruction set. A file that includes this is compiled for instructions that other
// processors lack, so it may define no function that another file defines as well: the linker keeps one of them for
// everybody. Hence templates over a type of that very file, and no standard containers or algorithms.
namespace tandem::kernels {

/** In which order the quads of a block are multiplied: those that share a scale form a part of it. */
template <PackedType Type>
struct ProductOrder {
  static constexpr size_t parts = Type == PackedType::q6_k ? 2 : 1;
  static constexpr size_t lines = lower_lines_of(Type);
  /** Of a part in a line. */
  static constexpr size_t quads = block_quads / lines / parts;
};

/**
 * `InstructionSet` has
 *   lanes                 outputs of a vector, 8 or 16
 *   panels                that are multiplied side by side: every activation then serves `panels * 16` outputs
 *   max_rows              rows of activations whose sums fit into the registers
 *   reach                 how many blocks ahead rows fetch that pass the panels once; 0: from the next panels, as others do
 *   Floats                a vector with a lane for each output
 *   load_bytes, load_signed_bytes   `lanes` of them as floats
 *   ByteProducts, NarrowProducts    how it multiplies weights of 8 bits, and of fewer:
 *     Block                           a `QuantizedBlock`, perhaps with more
 *     round_values(x, inverse, b)     puts 32 activations times `inverse` into `b`, and the sums of their halves
 *     steps                           of a quad of inputs
 *     Weights, Activations            the inputs of a step: of `lanes` outputs, and of one row in every lane
 *     load_weights<Type>(line, step)  a line has as many steps as all of its quads
 *     with_upper_bits<Type>(w, line, place)   adds the upper bits of a quad, which has that place in the bytes of the line
 *     Integers                        the sums of `lanes` outputs
 *     is_anchored                     whether sums start from the bits of `anchor`
 *     start<Type>(b, part)            where the sums of a part of a block start, their surplus taken off
 *     dot(sums, w, a)                 adds the products of a step, exactly
 *     to_floats<Type>(sums, b)        those of all steps, `anchor` still in them
 */
template <typename InstructionSet>
struct PackedProducts {
  using Set = InstructionSet;
  static_assert(panels_together % Set::panels == 0, "who shares a product would part what is multiplied together");

  static void multiply(const PanelProduct& product) {
    if (product.rows == 0) return;
    with_type(product.type, [&](auto type) { multiply_matrix<type>(product); });
  }

 private:
  template <PackedType Type>
  static void multiply_matrix(const PanelProduct& product) {
    const size_t bytes = panel_bytes(Type, product.blocks);
    for (size_t output = 0; output < product.outputs; output += Set::panels * panel_outputs) {
      const std::byte* panels = product.panels + output / panel_outputs * bytes;
      if (product.outputs - output > (Set::panels - 1) * panel_outputs) {
        multiply_panels<Type, Set::panels>(product, panels, output);
      } else {
        multiply_panels<Type, 1>(product, panels, output);
      }
    }
  }

  /** All rows of some neighbouring panels. */
  template <PackedType Type, size_t Panels>
  static void multiply_panels(const PanelProduct& product, const std::byte* panels, size_t output) {
    const size_t pieces = (product.rows + Set::max_rows - 1) / Set::max_rows;
    // A last panel that is left alone is too little for a function of its own.
    constexpr bool may_pass_once = Panels == Set::panels;
    if constexpr (may_pass_once) {
      if (pieces == 1) {
        using Ahead = std::conditional_t<(Set::reach > 0), LaterBlocks<Set, Type, Panels>, NextPanelsAtOnce<Set, Type, Panels>>;
        const Ahead ahead(panels, product.blocks);
        return by_rows<Type, Panels, Set::max_rows, 1>(product, {panels, output, 0, product.rows}, ahead);
      }
    }
    // As even as possible: eight rows as four and four keep more sums in flight than seven and one. Divided once, for Skylake
    // and its like take up to 90 cycles to divide.
    constexpr size_t fewest_rows = may_pass_once ? (Set::max_rows + 1) / 2 : 1;
    NextPanels<Set, Type, Panels> ahead(panels, product.blocks, pieces);
    const size_t fewest = product.rows / pieces;
    const size_t larger = product.rows - fewest * pieces;
    for (size_t piece = 0, first = 0; piece < pieces; ++piece) {
      const size_t rows = fewest + (piece < larger ? 1 : 0);
      by_rows<Type, Panels, Set::max_rows, fewest_rows>(product, {panels, output, first, rows}, ahead);
      first += rows;
      ahead.next_piece();
    }
  }

  /** Some rows of some panels. */
  struct Piece {
    const std::byte* panels;
    size_t output;  // the panels' first
    size_t first;
    size_t rows;
  };

  /** Finds the product for exactly that number of rows, `Fewest` to `Rows`. */
  template <PackedType Type, size_t Panels, size_t Rows, size_t Fewest, typename Ahead>
  static void by_rows(const PanelProduct& product, const Piece& piece, const Ahead& ahead) {
    if constexpr (Rows > Fewest) {
      if (piece.rows < Rows) return by_rows<Type, Panels, Rows - 1, Fewest>(product, piece, ahead);
    }
    const size_t place = piece.first * product.result_stride + piece.output;
    float sums[Rows][Panels * panel_outputs];
    multiply_piece<Type, Panels, Rows>(product, piece, ahead, sums);
    const size_t left = product.outputs - piece.output;
    constexpr size_t width = Panels * panel_outputs;
    // Of a width that the compiler knows, as nearly all are, rows are copied without a call.
    if (left >= width) {
      store_rows(product, place, sums, width);
    } else {
      store_rows(product, place, sums, left);
    }
  }

  template <size_t Rows, size_t Width>
  [[gnu::always_inline]] static void store_rows(const PanelProduct& product, size_t place, float (&sums)[Rows][Width],
                                                size_t width) {
    for (size_t row = 0; row < Rows; ++row) {
      float* result = product.result + place + row * product.result_stride;
      if (product.addend != nullptr) {
        const float* addend = product.addend + place + row * product.result_stride;
        for (size_t i = 0; i < width; ++i) sums[row][i] += addend[i];
      }
      std::memcpy(result, sums[row], width * sizeof(float));
    }
  }

  template <PackedType Type, size_t Panels, size_t Rows, typename Ahead>
  static void multiply_piece(const PanelProduct& product, const Piece& piece, Ahead ahead,
                             float (&result)[Rows][Panels * panel_outputs]) {
    constexpr size_t panel_vectors = panel_outputs / Set::lanes;
    constexpr size_t vectors = Panels * panel_vectors;
    using Order = ProductOrder<Type>;
    using Arithmetic = std::conditional_t<is_narrow(Type), typename Set::NarrowProducts, typename Set::ByteProducts>;
    Panel<Type> panels[Panels];
    for (size_t i = 0; i < Panels; ++i) panels[i] = panel_at<Set, Type>(piece.panels, i, product.blocks);
    const size_t stride = product.activation_stride;
    const std::byte* rows = product.activations + piece.first * stride;
    typename Set::Floats totals[Rows][vectors];
#pragma GCC unroll 8
    for (size_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
      for (size_t v = 0; v < vectors; ++v) totals[row][v] = Set::broadcast(0.0F);
    }
    for (size_t at = 0; at < product.blocks; ++at) {
      const auto block_of = [&](size_t row) -> const auto& {
        return reinterpret_cast<const typename Arithmetic::Block*>(rows + row * stride)[at];
      };
      ahead.start_block(at);
      for (size_t i = Order::parts * Order::lines; i < Ahead::parts; ++i) ahead.fetch(i);
#pragma GCC unroll 2
      for (size_t part = 0; part < Order::parts; ++part) {
        typename Arithmetic::Integers sums[Rows][vectors];
        for (size_t row = 0; row < Rows; ++row) {
          for (auto& sum : sums[row]) sum = Arithmetic::template start<Type>(block_of(row), part);
        }
#pragma GCC unroll 8
        for (size_t line = 0; line < Order::lines; ++line) {
          // One with each turn of a line, what is left of them before all turns.
          if (part * Order::lines + line < Ahead::parts) ahead.fetch(part * Order::lines + line);
#pragma GCC unroll 4
          for (size_t turn = 0; turn < Order::quads * Arithmetic::steps; ++turn) {
            const size_t step = part * Order::quads * Arithmetic::steps + turn;
            typename Arithmetic::Weights weights[vectors];
            for (size_t v = 0; v < vectors; ++v) {
              weights[v] = load_weights<Arithmetic, Type>(panels[v / panel_vectors].blocks[at], line, step,
                                                          v % panel_vectors * Set::lanes);
            }
            const size_t quad = line + step / Arithmetic::steps * Order::lines;
            for (size_t row = 0; row < Rows; ++row) {
              const auto activations =
                  Arithmetic::load_activations(block_of(row).values + quad * quad_inputs, step % Arithmetic::steps);
              for (size_t v = 0; v < vectors; ++v) sums[row][v] = Arithmetic::dot(sums[row][v], weights[v], activations);
            }
          }
        }
        for (size_t v = 0; v < vectors; ++v) {
          const auto scales = load_scales(panels[v / panel_vectors], at, part, v % panel_vectors * Set::lanes);
          for (size_t row = 0; row < Rows; ++row) {
            const auto sum = Arithmetic::template to_floats<Type>(sums[row][v], block_of(row));
            totals[row][v] = add_sum<Arithmetic, Type>(totals[row][v], sum, scales, block_of(row));
          }
        }
      }
    }
#pragma GCC unroll 8
    for (size_t row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
      for (size_t v = 0; v < vectors; ++v) Set::store(result[row] + v * Set::lanes, totals[row][v]);
    }
  }

  /** The weights of one of a line's steps, from output `output` on. */
  template <typename Arithmetic, PackedType Type>
  static typename Arithmetic::Weights load_weights(const PackedBlock<Type>& block, size_t line, size_t step, size_t output) {
    constexpr size_t lines = lower_lines_of(Type);
    constexpr size_t upper_lines = upper_bits_of(Type);
    const auto lower = Arithmetic::template load_weights<Type>(block.lines[line][output], step);
    if constexpr (upper_lines == 0) {
      return lower;
    } else {
      const size_t quad = line + step / Arithmetic::steps * lines;
      const auto* upper = block.lines[lines + quad % upper_lines][output];
      return Arithmetic::template with_upper_bits<Type>(lower, upper, quad / upper_lines);
    }
  }

  /** Of some of the rows of a block. */
  struct Scales {
    typename Set::Floats scale;
    typename Set::Floats minimum;  // if the type has any
  };

  /** A total with the sum of a part of a block, of weights and activations as whole numbers, times the scales of both. */
  template <typename Arithmetic, PackedType Type>
  static typename Set::Floats add_sum(typename Set::Floats total, typename Set::Floats sum, const Scales& scales,
                                      const typename Arithmetic::Block& block) {
    total = Set::multiply_add(scaled<Arithmetic>(sum, scales.scale), Set::broadcast(block.scale), total);
    if constexpr (!has_minimums(Type)) return total;
    return Set::multiply_add(scales.minimum, Set::broadcast(block.negated_sum), total);
  }

  /**
   * A sum less its anchor, times a scale. A finite scale has at most 19 bits, the anchor 2: their product is exact, and both ways
   * round once.
   */
  template <typename Arithmetic>
  static typename Set::Floats scaled(typename Set::Floats sum, typename Set::Floats scale) {
    if constexpr (!Arithmetic::is_anchored) return Set::multiply(sum, scale);
    return Set::multiply_add(sum, scale, Set::multiply(scale, Set::broadcast(-anchor)));
  }

  template <PackedType Type>
  static Scales load_scales(const Panel<Type>& panel, size_t block, size_t part, size_t output) {
    const auto& scales = panel.scales[block];
    const auto* factors = panel.factors + block / superblock_blocks * factors_of(Type);
    if constexpr (has_minimums(Type) && !has_superblocks(Type)) {
      return {Set::load_halves(scales.halves + output), Set::load_halves(scales.minimums + output)};
    } else if constexpr (has_minimums(Type)) {
      return {Set::multiply(Set::load_bytes(scales.bytes[0] + output), Set::load_halves(factors[0].halves + output)),
              Set::multiply(Set::load_bytes(scales.bytes[1] + output), Set::load_halves(factors[1].halves + output))};
    } else if constexpr (Type == PackedType::q6_k) {
      const auto scale = Set::multiply(Set::load_signed_bytes(scales.bytes[part] + output),
                                       Set::load_halves(factors->halves + output));
      return {scale, scale};
    } else {
      const auto scale = Set::load_halves(scales.halves + output);
      return {scale, scale};
    }
  }
};

}  // namespace tandem::kernels
