// Classes by name.

/** Indices of the classes whose name contains all words of a text; names that begin with it are first. */
export function matchingClasses(names: readonly string[], text: string): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits: [number, number][] = [];
  names.forEach((label, index) => {
    const name = label.toLowerCase();
    if (words.every((word) => name.includes(word)) || text.trim() === String(index))
      hits.push([words.length && name.startsWith(words[0]!) ? 0 : 1, index]);
  });
  return hits.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, index]) => index);
}
