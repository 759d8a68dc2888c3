/** Content that is well known and not what was expected. */
export interface FileKind {
  name: string
  remedy: string
}

/** Bytes that {@link fileKind} looks at. */
export const KIND_BYTES = 64

const DOWNLOAD_AGAIN = 'Download the file again'

/** The only safe way out of PyTorch's own format, whose reader carries out what a file says. */
export const SAVE_AS_SAFETENSORS =
  'A file of that kind can run code when it is opened, so it is never read: save the model as safetensors, with save_pretrained of transformers'

const begins =
  (...starts: string[]) =>
  (text: string) =>
    starts.some((start) => text.startsWith(start))

/** First bytes, read as Latin-1. */
const KINDS: readonly (FileKind & { matches: (text: string) => boolean })[] = [
  {
    matches: begins('version https://git-lfs'),
    name: 'a Git LFS pointer',
    remedy: 'Fetch the file that it stands for with git lfs pull',
  },
  {
    matches: (text) => /^\s*<(?:!doctype|html|head|body|\?xml|script)/i.test(text),
    name: 'a web page',
    remedy: DOWNLOAD_AGAIN,
  },
  { matches: begins('PK\u0003\u0004'), name: 'a zip archive, as PyTorch writes', remedy: SAVE_AS_SAFETENSORS },
  // Protocols 2 to 5, and no length of a header, which would go on with zeros.
  {
    matches: (text) => begins('\x80\u0002', '\x80\u0003', '\x80\u0004', '\x80\u0005')(text) && text[2] !== '\0',
    name: 'a Python pickle',
    remedy: SAVE_AS_SAFETENSORS,
  },
  { matches: begins('GGUF'), name: 'a GGUF file', remedy: 'Name the GGUF file itself as the model' },
  {
    matches: (text) => text[8] === '{' && text[7] === '\0',
    name: 'a safetensors file',
    remedy: 'Name the folder that holds it as the model',
  },
  {
    matches: begins('\x1f\x8b', '(\xb5/\xfd', '7z\xbc\xaf', 'Rar!', 'BZh'),
    name: 'a compressed file',
    remedy: 'Unpack it',
  },
  { matches: begins('\x89HDF'), name: 'an HDF5 file, as Keras writes', remedy: 'Save the model as safetensors' },
  {
    matches: (text) => text.length >= 8 && text.replaceAll('\0', '') === '',
    name: 'nothing but zeros, as an interrupted download leaves',
    remedy: DOWNLOAD_AGAIN,
  },
]

/** What the first bytes of a file say it is; undefined where nothing is known. */
export function fileKind(start: Uint8Array): FileKind | undefined {
  const text = Buffer.from(start.subarray(0, KIND_BYTES)).toString('latin1')
  const known = KINDS.find(({ matches }) => matches(text))
  if (known !== undefined) return { name: known.name, remedy: known.remedy }
  // "Entry not found", {"error":"Invalid username or password."}
  return /^[\s\x20-\x7e]{4,}$/.test(text)
    ? { name: `the text ${JSON.stringify(text.trim())}`, remedy: DOWNLOAD_AGAIN }
    : undefined
}
