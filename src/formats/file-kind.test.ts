import { describe, expect, it } from 'vitest'
import { fileKind } from './file-kind.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')

describe('the kind of a file', () => {
  it.each([
    ['version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 988097824\n', 'a Git LFS pointer'],
    ['<!DOCTYPE html><html lang="en">', 'a web page'],
    ['\r\n\n  <html>', 'a web page'],
    ['<?xml version="1.0"?><Error><Code>AccessDenied</Code>', 'a web page'],
    ['PK\x03\x04\x00\x00\x08\x08', 'a zip archive, as PyTorch writes'],
    ['\x80\x02}q\x00(X\x05\x00', 'a Python pickle'],
    ['\x80\x04\x95\x1b\x00\x00\x00', 'a Python pickle'],
    ['GGUF\x03\x00\x00\x00', 'a GGUF file'],
    ['\x1f\x8b\x08\x00', 'a compressed file'],
    ['\x28\xb5\x2f\xfd', 'a compressed file'],
    ['\x89HDF\r\n\x1a\n', 'an HDF5 file, as Keras writes'],
    ['\x40\x00\x00\x00\x00\x00\x00\x00{"a":{"dtype"', 'a safetensors file'],
    ['\0'.repeat(64), 'nothing but zeros, as an interrupted download leaves'],
    ['Entry not found', 'the text "Entry not found"'],
    ['{"error":"Invalid username or password."}', 'the text "{\\"error\\":\\"Invalid username or password.\\"}"'],
  ])('%j', (start, name) => expect(fileKind(bytes(start))?.name).toBe(name))

  it.each(['', 'abc', '\x80\x02\0\0\0\0\0\0', '\xff\xfe\0\0', '\x01\x02\x03\x04\x05\x06'])('%j is not known', (start) =>
    expect(fileKind(bytes(start))).toBeUndefined(),
  )

  it('says what to do about each', () => {
    expect(fileKind(bytes('PK\x03\x04'))?.remedy).toMatch(/run code.*never read.*safetensors/)
    expect(fileKind(bytes('version https://git-lfs'))?.remedy).toMatch(/git lfs pull/)
  })
})
