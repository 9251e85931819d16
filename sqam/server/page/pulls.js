// The words that pulled an emoji up or down, in the text itself.

import { make } from "./dom.js";
import { shownScore } from "./bar.js";

const GAP = 240; // characters between words that are told; a longer gap is cut

const LEAST = 0.005; // of a pull that is told, which is also at least
const LEAST_SHARE = 0.1; // this much of the strongest

const signed = (pull) => (pull > 0 ? "+" : "") + shownScore(pull);

// Return the pieces of the text that tokens came from, in order; those that overlap as one.
//
// tokens: {start, end, pull}, places in code points.
function pieces(tokens) {
  const found = [];
  for (const { start, end, pull } of [...tokens].sort((a, b) => a.start - b.start)) {
    const last = found.at(-1);
    if (last && start < last.end) {
      last.end = Math.max(last.end, end);
      last.pull += pull;
    } else {
      found.push({ start, end, pull });
    }
  }
  return found;
}

// Return those whose pull is worth telling.
function told(found) {
  const strongest = Math.max(...found.map(({ pull }) => Math.abs(pull)));
  return found.filter(({ pull }) => Math.abs(pull) >= Math.max(LEAST, LEAST_SHARE * strongest));
}

// Show the text with each word shaded by its pull, and the pull below it as a number.
export function showPulls(element, text, tokens) {
  const characters = [...text];
  const found = told(pieces(tokens));
  const strongest = Math.max(...found.map(({ pull }) => Math.abs(pull)));
  const parts = [];
  let end = 0;
  for (const piece of found) {
    parts.push(shortened(characters.slice(end, piece.start), end > 0));
    const word = characters.slice(piece.start, piece.end).join("");
    const kind = piece.pull > 0 ? "up" : "down";
    const mark = make(
      "span",
      { class: `pull ${kind}` },
      make("span", { class: "word" }, word),
      make("span", { class: "figure" }, signed(piece.pull)),
    );
    mark.style.setProperty("--strength", Math.abs(piece.pull) / strongest);
    parts.push(mark);
    end = piece.end;
  }
  parts.push(shortened(characters.slice(end), true));
  element.replaceChildren(...parts);
}

// Say it in a sentence.
export function summary(text, tokens, passedOver) {
  const characters = [...text];
  const found = told(pieces(tokens)).sort((a, b) => b.pull - a.pull);
  const quoted = ({ start, end, pull }) =>
    `“${characters.slice(start, end).join("")}” (${signed(pull)})`;
  const parts = [];
  const [most, least] = [found[0], found.at(-1)];
  if (most?.pull > 0) parts.push(`Most of the pull comes from ${quoted(most)}.`);
  if (least?.pull < 0) parts.push(`${quoted(least)} holds it back.`);
  if (!parts.length) parts.push("No single word decides it.");
  if (passedOver.length) {
    const words = passedOver
      .slice(0, 5)
      .map((word) => `“${word}”`)
      .join(", ");
    const more = passedOver.length > 5 ? ` and ${passedOver.length - 5} more` : "";
    parts.push(`Not known: ${words}${more}.`);
  }
  return parts.join(" ");
}

function shortened(characters, after) {
  if (characters.length <= GAP) return characters.join("");
  const half = GAP / 2;
  const head = after ? characters.slice(0, half).join("") : "";
  return `${head} … ${characters.slice(-half).join("")}`;
}
