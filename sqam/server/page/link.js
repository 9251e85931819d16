// The link of what is shown: #rank?q=good+morning

const REST = 250; // milliseconds: browsers refuse links that change all the time
const LONGEST = 2000; // characters of a parameter; a longer one would be too long for many programs
let timer = 0;
let pending = null;

// Return the tab that the fragment names, "" where it names none, and its parameters.
export function readLink() {
  const [tab, query = ""] = splitOnce(location.hash.slice(1), "?");
  return { tab, parameters: new URLSearchParams(query) };
}

// Put it in the address bar; parameters that are empty or too long are left out.
export function writeLink(tab, values) {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    const text = String(value);
    if (text && text.length <= LONGEST) parameters.set(key, text);
  }
  const query = parameters.toString();
  pending = `#${tab}${query ? `?${query}` : ""}`;
  clearTimeout(timer);
  timer = setTimeout(settleLink, REST);
}

// Do now what writeLink would do in a moment.
export function settleLink() {
  clearTimeout(timer);
  if (pending !== null && pending !== location.hash) history.replaceState(null, "", pending);
  pending = null;
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
