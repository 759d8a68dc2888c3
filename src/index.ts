/**
 * Tandem: Hugging Face encoder-decoder and decoder-only models on this computer, converted to GGUF and decoded as
 * transformers does.
 */
export {
  type ConversionProgress,
  type ConversionReport,
  type ConvertOptions,
  convert,
  type Fallback,
  type Quantization,
} from './convert/convert.ts'
export { type ErrorCode, type ErrorDetails, TandemError } from './errors.ts'
export type {
  BeamOptions,
  CommonOptions,
  ContrastiveOptions,
  GenerationConfig,
  GenerationOptions,
  LogitsProcessorCallback,
  PrefixAllowedTokensFn,
  ReturnOptions,
  SampleOption,
  SamplingOptions,
  SearchMode,
} from './generation/options.ts'
export type { NativeDevice } from './native/addon.ts'
export type { KernelsInUse, NativeDescription, Variant, VariantObstacle } from './native/library.ts'
export {
  type ConnectOptions,
  connectEngine,
  type EngineOptions,
  type RemoteEngine,
  startEngine,
} from './remote/engine.ts'
export { serveEngine } from './remote/host.ts'
export type { MessagePortLike } from './remote/port.ts'
export type { RemoteModel } from './remote/remote-model.ts'
export type { RemoteTokenizer } from './remote/remote-tokenizer.ts'
export { cacheDirectory } from './runtime/cache.ts'
export { ChatModel } from './runtime/chat.ts'
export { Conversation, type ConversationOptions } from './runtime/conversation.ts'
export type { ConvertedModel } from './runtime/converted-model.ts'
export {
  type CacheState,
  type Diagnosis,
  type DiagnosisOptions,
  diagnose,
  type Platform,
  type Trouble,
} from './runtime/diagnosis.ts'
export type { Finding } from './runtime/findings.ts'
export type {
  BeamText,
  FinishReason,
  GeneratedSequence,
  GenerationEvent,
  GenerationResult,
} from './runtime/generation-run.ts'
export type { GenerationStream } from './runtime/generation-stream.ts'
export type { GenerateOptions, GenerativeModel, ModelTokenizer } from './runtime/generative-model.ts'
export type { EncodedInput, GenerationInput, InputOptions, TokenInput } from './runtime/input.ts'
export { type InspectOptions, inspect, type ModelInspection } from './runtime/inspection.ts'
export { LanguageModel, type ModelDefaults } from './runtime/language-model.ts'
export { type LoadOptions, load } from './runtime/load.ts'
export { EMBEDDED_MODELS } from './runtime/locate.ts'
export {
  type MeasureOptions,
  type ModelMeasurement,
  measureModel,
  type PromptMeasurement,
  type StepMeasurement,
} from './runtime/measurement.ts'
export type { MemoryEstimate, MemoryOptions } from './runtime/memory.ts'
export type { InspectedModule, InspectedParameter } from './runtime/module-tree.ts'
export type { Processor } from './runtime/processor.ts'
export type { SystemMemory } from './runtime/system-memory.ts'
export { Text2TextModel } from './runtime/text2text.ts'
export { applyChatTemplate, type ChatTemplateOptions } from './template/chat-template.ts'
export type { ChatMessage, MessagePart } from './template/messages.ts'
export type { DecodeStream } from './tokenizer/decode-stream.ts'
export type {
  BatchEncodeOptions,
  DecodeOptions,
  EncodedText,
  EncodeOptions,
  TextTokenizer,
} from './tokenizer/text-tokenizer.ts'
export { Tokenizer } from './tokenizer/tokenizer.ts'
