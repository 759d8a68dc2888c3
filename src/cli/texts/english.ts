import { QUANTIZATION_NAMES } from '../../convert/convert.ts'

/**
 * Everything that help says, in English. A command's own texts go before those that commands share; options are under
 * their names in camelCase, examples under their command lines. An option without a text stays hidden.
 */
export const ENGLISH = {
  description: 'Run Hugging Face encoder-decoder and chat models on this computer',
  headings: {
    'Usage:': 'Usage:',
    'Arguments:': 'Arguments:',
    'Options:': 'Options:',
    'Global Options:': 'Options of every command:',
    'Commands:': 'Commands:',
    'Examples:': 'Examples:',
  },
  /** What stands behind an option: its values, and what it is when it is left out. */
  choices: 'one of',
  default: 'default',
  options: {
    help: 'show this help',
    version: 'print the version',
    quiet: 'write nothing to stderr but errors',
    verbose: 'tell what happens, and where errors come from',
    model: 'nano-chatlm, nano-qwen, a model folder or a .gguf file',
    device: 'auto, cpu, cuda, vulkan, metal or the name of a device',
    threads: 'CPU threads',
    contextSize: 'tokens that all texts together may have',
    kvType: 'type of stored keys and values',
    quantize: 'type of the weights when MODEL is a folder: q8_0 (default), f16, q4_k_m, …',
    generationConfig: "a generation_config.json that goes before the model's own",
    defaults: "ignore the model's own generation_config.json but for its special tokens",
    json: 'print one JSON object for each input',
    system: 'what the system message says',
    search: "one of ChatLM's presets: greedy, beam, sampling or contrastive",
    maxNewTokens: 'tokens to add at most (default of transformers: 20)',
    maxLength: 'length at most, the prompt of a decoder-only model included',
    minNewTokens: 'new tokens before which no text ends',
    minLength: 'length below which no text ends',
    doSample: 'draw the tokens; false: do not, whatever the model says',
    temperature: 'below 1: likely tokens become likelier',
    topK: 'draw from so many of the best tokens (default 50; 0: all)',
    topP: 'draw from the best tokens that make up this probability',
    minP: 'draw from tokens with at least this share of the best probability',
    topH: 'draw from the best tokens that make up this share of the entropy',
    typicalP: 'draw from the most typical tokens that make up this probability',
    epsilonCutoff: 'draw from tokens of at least this probability',
    etaCutoff: 'as --epsilon-cutoff, with a bound that follows the entropy',
    seed: 'the draws of torch.manual_seed on a CPU (default: a fresh one, told with --json)',
    numBeams: 'beams of a beam search (1: none)',
    numReturnSequences: 'texts to return',
    lengthPenalty: 'above 0 favours long texts, below 0 short ones',
    earlyStopping: 'true, false or never: when a beam search has found enough',
    penaltyAlpha: 'contrastive search: weight of the difference to what is there',
    repetitionPenalty: 'above 1: tokens that are already there become less likely',
    encoderRepetitionPenalty: 'above 1: tokens of the input become more likely',
    noRepeatNgramSize: 'no sequence of so many tokens appears twice',
    encoderNoRepeatNgramSize: 'no sequence of so many tokens of the input appears',
    badWordsIds: 'JSON list of token sequences that must not appear',
    sequenceBias: 'JSON list of [token sequence, bias]',
    forcedBosTokenId: 'first token',
    forcedEosTokenId: 'token that ends a text at its full length',
    suppressTokens: 'JSON list of tokens that must not appear',
    beginSuppressTokens: 'JSON list of tokens that must not come first',
    exponentialDecayLengthPenalty: 'JSON pair: from so many new tokens on, ending becomes likelier by a factor',
    removeInvalidValues: 'replace scores that are not numbers',
    renormalizeLogits: 'make log-probabilities of the scores at the end',
    stop: 'a text that ends the generation; may be given several times',
    maxTime: 'seconds after which no further token is begun',
    eosTokenId: 'id, or JSON list of ids, that ends the text',
    padTokenId: 'id of padding',
  },
  commands: {
    demo: {
      description: 'Convert and run both embedded models, step by step',
      arguments: {},
      options: {},
      examples: { 'tandem demo': 'both models on the best device' },
    },
    convert: {
      description: 'Convert a Hugging Face model folder to one GGUF file, or a GGUF file to other types',
      arguments: { model: 'the folder, the name of an embedded model, or a .gguf file' },
      options: {
        output: 'the file to write',
        quantize: `type of the weights, or a mix of types: ${QUANTIZATION_NAMES}`,
        allowRequantize: 'let a GGUF file that is quantised already be quantised again',
        allowNonfinite: 'keep tensors with NaN, infinity or too large values as they are, in f32',
        json: 'print the report as JSON',
      },
      examples: {
        'tandem convert DIR -o model.gguf': 'a folder, in q8_0',
        'tandem convert model.gguf -o small.gguf --quantize q4_k_m': 'a file, smaller',
      },
    },
    generate: {
      description: 'Generate text from text, token ids or chat messages',
      arguments: { text: 'one prompt each' },
      options: {
        input: 'one JSON object a line: prompt, inputIds or messages, and options; - reads stdin',
        appendEos: "put the end token behind the prompt, as ChatLM's own program does",
      },
      examples: {
        "tandem generate -m nano-chatlm '请把下面的话翻译为英语:你好吗?'": 'one text, as it comes',
        'tandem generate -m DIR --num-beams 5 --max-new-tokens 64 TEXT': 'a beam search',
        'tandem generate -m model.gguf --json --input requests.jsonl': 'many requests, one line each',
      },
    },
    chat: {
      description: 'Talk to a model: one message, or an interactive chat when none is given',
      arguments: { message: 'one message' },
      options: { json: 'print the answer to one message as a JSON object' },
      examples: {
        'tandem chat -m nano-qwen': 'talk to it',
        "echo '你是谁?' | tandem chat -m nano-qwen": 'one answer',
      },
    },
    tokenize: {
      description: 'Turn text into token ids, or ids into text',
      arguments: { text: 'texts; with --decode, ids' },
      options: {
        input: 'one JSON object a line: {"prompt": …}, with --decode {"ids": […]}; - reads stdin',
        decode: 'from ids to text',
        appendEos: 'put the end token behind the text',
      },
      examples: {
        "tandem tokenize -m nano-qwen '你好，世界'": 'ids and tokens',
        'tandem tokenize -m nano-qwen --decode 40 41': 'the text of two ids',
      },
    },
    template: {
      description: 'Show what a chat becomes for a model: the rendered template, and its ids',
      arguments: { message: 'messages of a user, each a chat of its own' },
      options: {
        input: 'one JSON object a line: {"messages": …, "add_generation_prompt": …}; - reads stdin',
      },
      examples: { "tandem template -m nano-qwen '你是谁?'": 'the text that the model reads' },
    },
    inspect: {
      description: 'Show what a model is made of and what it needs, without running it',
      arguments: { model: 'nano-chatlm, nano-qwen, a model folder or a .gguf file' },
      options: {
        numBeams: 'beams of one generation (1)',
        sourceLength: 'tokens of the input (512)',
        json: 'print everything as one JSON object',
      },
      examples: {
        'tandem inspect nano-chatlm': 'the modules as print(model) shows them, and the memory',
        'tandem inspect DIR --quantize q4_k_m --context-size 8192': 'what it would need',
      },
    },
    bench: {
      description: 'Measure how fast a model is on this machine, and how fast it could be',
      arguments: {},
      options: {
        repetitions: 'how often everything is measured (3)',
        json: 'print everything as one JSON object',
      },
      examples: {
        'tandem bench -m nano-chatlm': 'loading, prompts, and steps of 1, 2 and 5 beams',
        'tandem bench -m model.gguf --threads 1 --json': 'one thread, for a program',
      },
    },
    doctor: {
      description: 'Look at this machine and this installation, and say what is wrong with them',
      arguments: {},
      options: { json: 'print everything as one JSON object' },
      examples: { 'tandem doctor': 'ends with 1 when no model can run here' },
    },
    completion: {
      description: 'Print a script that completes command lines in a shell',
      arguments: { shell: 'the shell that the script is for' },
      options: {},
      examples: {
        'source <(tandem completion bash)': 'bash, and zsh in the same way',
        'tandem completion fish | source': 'fish',
      },
    },
    help: {
      description: 'Show the help of a command',
      arguments: { command: 'the command; without one, the list of all' },
      options: {},
      examples: {},
    },
  },
}

/** What a language must have. */
export type Texts = typeof ENGLISH
