/** An object with some of its methods replaced. */

/** `target` seen through `own`: what `own` has is taken from there, all else works on `target` itself. */
export function overriding<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(object, key) {
      if (key in own) return own[key as keyof T];
      const value: unknown = Reflect.get(object, key, object);
      // Private fields are those of the object itself.
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}
