// Results that are kept, so that they are not made again.

/** The last `max` results, by key; the oldest is forgotten. */
export class Kept<V> {
  private readonly values = new Map<string, V>();

  constructor(private readonly max: number) {}

  has(key: string): boolean {
    return this.values.has(key);
  }

  get(key: string): V | undefined {
    return this.values.get(key);
  }

  set(key: string, value: V): V {
    this.values.set(key, value);
    if (this.values.size > this.max) this.values.delete(this.values.keys().next().value!);
    return value;
  }

  delete(key: string): void {
    this.values.delete(key);
  }

  /** The result of a key; made if it is not there. */
  of(key: string, make: () => V): V {
    return this.values.get(key) ?? this.set(key, make());
  }
}
