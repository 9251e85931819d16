// To the clipboard, with a toast.

import { glyph } from "./emojis.js";
import { make } from "./dom.js";
import { toast } from "./toast.js";

export async function copyEmoji(emoji, name) {
  if (await copied(emoji)) {
    toast(glyph(emoji), make("span", {}, `Copied ${name}`));
  } else {
    toast(`Select this to copy it: ${emoji}`);
  }
}

export async function copyText(text, what) {
  toast((await copied(text)) ? `Copied ${what}` : "The browser lets no page copy; use its menu");
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS there is no clipboard, but there is what came before it.
  }
  const before = document.activeElement;
  const area = make("textarea", { class: "unseen", value: text, readOnly: true });
  area.setAttribute("aria-hidden", "true");
  document.body.append(area);
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    done = false;
  }
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}
