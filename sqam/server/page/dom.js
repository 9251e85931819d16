// Elements made in one line. Text is only ever text, never HTML.

// Properties go by name; "class", "role", "aria-…" and "data-…" as attributes.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name === "role" || name === "for" || name.includes("-")) {
      element.setAttribute(name, value);
    } else {
      element[name] = value;
    }
  }
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

// "1 sentence", "2 sentences".
export const count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
