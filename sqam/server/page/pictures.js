// Pictures that no model has seen, ranked for a sentence.

import { announce } from "./announce.js";
import { call, Problem } from "./api.js";
import { bar, shownScore } from "./bar.js";
import { byId, count, make } from "./dom.js";
import { names, nearestList } from "./drawing.js";
import { emojis } from "./emojis.js";
import { field } from "./field.js";
import { latest } from "./latest.js";
import { notice } from "./notice.js";
import { toast } from "./toast.js";

const MOST = 16;
const LARGEST = 1_900_000; // bytes; a larger file is made smaller before it is sent
const SMALLER = 512; // pixels a side that it becomes at most
const TYPING = 250; // milliseconds

export function pictures(changed, sentence) {
  const panel = byId("panel-pictures");
  const zone = byId("pictures-zone");
  const chosen = byId("pictures-files");
  const list = byId("pictures-list");
  const work = latest(notice(byId("pictures-notice")));
  const text = field(byId("pictures-text"), { onInput: () => update(TYPING) });
  let files = [];

  chosen.addEventListener("change", () => {
    add(chosen.files);
    chosen.value = "";
  });
  byId("pictures-sample").addEventListener("click", sample);
  byId("pictures-clear").addEventListener("click", () => {
    files = [];
    update(0);
    chosen.focus();
  });

  // A picture that misses the zone must not replace the page.
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => {
      if (panel.hidden || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget || zone.classList.remove("over"));
  addEventListener("drop", (event) => {
    zone.classList.remove("over");
    if (panel.hidden || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (panel.hidden || !event.clipboardData?.files.length) return;
    // Some programs copy a text with a picture of it; whoever pastes into the field means the text.
    if (event.target === text.element && event.clipboardData.getData("text/plain")) return;
    event.preventDefault();
    add(event.clipboardData.files);
  });

  async function add(more) {
    const room = MOST - files.length;
    if (more.length > room) toast(`${MOST} pictures at most; the others were left out`);
    const ready = await Promise.all([...more].slice(0, room).map(fit));
    files = [...files, ...ready].slice(0, MOST);
    update(0);
  }

  function sample() {
    work.run(
      ({ signal, waiting }) =>
        call(`v1/generate?n=4&seed=${Math.floor(Math.random() * 100000)}`, { signal, waiting }),
      ({ drawings }) => add(drawings.map(({ png }, n) => file(png, `drawing ${n + 1}.png`))),
    );
  }

  function update(delay) {
    changed();
    const asked = text.value();
    const sent = files;
    byId("pictures-clear").hidden = !sent.length;
    if (!sent.length || !asked.trim()) {
      work.stop();
      list.replaceChildren();
      byId("pictures-line").textContent = sent.length
        ? "Type a sentence to rank your pictures for."
        : "";
      return;
    }
    work.run(
      async ({ signal, waiting }) => {
        const form = new FormData();
        form.append("text", asked);
        for (const one of sent) form.append("pictures", one, one.name);
        try {
          const answer = await call("v1/rank-pictures", { form, signal, waiting });
          return [answer, (await emojis()).list.length];
        } catch (error) {
          throw error instanceof Problem ? named(error, sent) : error;
        }
      },
      ([{ matches }, all]) => show(matches, sent, all),
      delay,
    );
  }

  function show(matches, sent, all) {
    list.replaceChildren(...matches.map((match) => card(match, sent[match.picture], all)));
    const line = `${count(matches.length, "picture")}, best first.`;
    byId("pictures-line").textContent = line;
    announce(`${line} ${matches[0].name}: ${ordinal(matches[0].place)} of ${all} emojis.`);
  }

  function card({ name, score, place, nearest, png }, sent, all) {
    const remove = make("button", { type: "button", class: "icon" });
    remove.setAttribute("aria-label", `Remove ${name}`);
    remove.append(make("span", { class: "cross", "aria-hidden": "true" }));
    remove.addEventListener("click", () => {
      files = files.filter((one) => one !== sent);
      update(0);
      chosen.focus();
    });
    const number = make("span", { class: "score" }, shownScore(score));
    number.prepend(make("span", { class: "unseen" }, "score "));
    return make(
      "li",
      { class: "upload" },
      make("img", { src: png, width: 72, height: 72, alt: `${name}, as the model sees it` }),
      make(
        "div",
        { class: "about" },
        make("strong", {}, name),
        make("div", { class: "measure" }, bar(score), number),
        make("span", { class: "muted" }, standing(place, all)),
      ),
      make("div", { class: "near" }, make("span", {}, "Near"), nearestList(nearest)),
      remove,
    );
  }

  return {
    id: "pictures",
    open(parameters) {
      if (parameters.has("q")) text.set(parameters.get("q"));
      else if (!text.value()) text.set(sentence());
      update(0);
    },
    link: () => ({ q: text.value() }),
  };
}

const standing = (place, all) =>
  place === 1
    ? `Would come first, before all ${all.toLocaleString("en")} emojis`
    : `Would come ${ordinal(place)} among all ${all.toLocaleString("en")} emojis`;

// The service counts the pictures of an upload from 0; whoever chose them knows them by name.
function named(error, sent) {
  const line = error.message.replace(/^Picture (\d+)(?=:)/, (all, n) => sent[n]?.name ?? all);
  return new Problem(line, error.status);
}

// "1st", "22nd", "113th".
export function ordinal(n) {
  const kind = new Intl.PluralRules("en", { type: "ordinal" }).select(n);
  return n.toLocaleString("en") + { one: "st", two: "nd", few: "rd", other: "th" }[kind];
}

// Return the file, made smaller where it is large; one that the browser cannot read as it is, so
// that the service says what is wrong with it.
async function fit(original) {
  if (original.size <= LARGEST) return original;
  try {
    const image = await createImageBitmap(original);
    const scale = Math.min(1, SMALLER / Math.max(image.width, image.height));
    const width = Math.max(1, Math.round(image.width * scale));
    const height = Math.max(1, Math.round(image.height * scale));
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve));
    return new File([blob], original.name, { type: "image/png" });
  } catch {
    return original;
  }
}

// Return a data URI of a PNG as a file.
function file(png, name) {
  const bytes = Uint8Array.from(atob(png.split(",")[1]), (character) => character.charCodeAt(0));
  return new File([bytes], name, { type: "image/png" });
}
