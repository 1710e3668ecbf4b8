// Classes by name.

import { modelOf, type Page } from "./page";

/** What a class is called: its name, or its number. */
export function className(page: Page, index: number, model = page.store.view.model): string {
  return modelOf(page, model).labels[index] ?? `class ${index}`;
}

/** The classes whose name has all words of a text in it: names that begin with it first. */
export function classesLike(labels: readonly string[], text: string, most = 12): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits: [number, number][] = [];
  labels.forEach((label, index) => {
    const name = label.toLowerCase();
    if (words.every((word) => name.includes(word)) || text.trim() === String(index))
      hits.push([name.startsWith(words[0] ?? "") ? 0 : 1, index]);
  });
  return hits
    .sort((one, other) => one[0] - other[0] || one[1] - other[1])
    .slice(0, most)
    .map(([, index]) => index);
}
