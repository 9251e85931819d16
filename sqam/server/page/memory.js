// What the browser keeps: of the session or for longer. Where that is forbidden, of this page.

const pages = new Map();

export function recall(storage, key) {
  try {
    return globalThis[storage].getItem(key);
  } catch {
    return pages.get(key) ?? null;
  }
}

export function remember(storage, key, value) {
  pages.set(key, value);
  try {
    globalThis[storage].setItem(key, value);
  } catch {
    // Full, or forbidden.
  }
}
