// What llama.cpp itself makes of texts, for foreign_gguf.py, which compiles and runs it:
//   llama_tokenize MODEL.gguf < texts
// Every text is its length in bytes, a newline and its bytes; every answer is a line of ids, special tokens parsed, none
// added.
#include <llama.h>

#include <cstdio>
#include <string>
#include <vector>

int main(int, char** arguments) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  auto parameters = llama_model_default_params();
  parameters.vocab_only = true;
  llama_model* model = llama_model_load_from_file(arguments[1], parameters);
  if (model == nullptr) return 1;
  const llama_vocab* vocabulary = llama_model_get_vocab(model);
  int length = 0;
  while (std::scanf("%d%*1[\n]", &length) == 1) {
    std::string text(static_cast<size_t>(length), '\0');
    if (std::fread(text.data(), 1, text.size(), stdin) != text.size()) return 1;
    std::vector<llama_token> ids(3 * text.size() + 8);
    const int count = llama_tokenize(vocabulary, text.data(), length, ids.data(), static_cast<int>(ids.size()), false, true);
    for (int i = 0; i < count; ++i) std::printf("%d ", ids[static_cast<size_t>(i)]);
    std::printf("\n");
  }
  llama_model_free(model);
}
