/** The same function, which computes once for equal arguments (by their JSON), also while the first call is under way. */
export function remembered<Arguments extends unknown[], Result>(compute: (...args: Arguments) => Promise<Result>) {
  const results = new Map<string, Promise<Result>>()
  return (...args: Arguments): Promise<Result> => {
    const key = JSON.stringify(args)
    const result = results.get(key) ?? compute(...args)
    results.set(key, result)
    return result
  }
}
