// Calls of the service. A call that is refused for a reason that passes is made again.

import { askToken, token } from "./token.js";

const LOST_DELAYS = [1, 2, 4]; // seconds before a call is made again that no server answered
const BUSY_TRIES = 8;
const LONGEST_WAIT = 30; // seconds; a server that asks for longer is not waited for

// An answer that is an error; the message says what to mend.
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// Return the JSON of an answer. Throws Problem, or the signal's AbortError.
//
// body: sent as JSON; form: a FormData instead; neither: a GET.
// waiting: called with a line on what the call waits for.
export async function call(path, { body, form, signal, waiting = () => {} } = {}) {
  let lost = 0;
  let busy = 0;
  let sent = null;
  for (;;) {
    sent = token();
    const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
    const request = { signal, headers };
    if (form) {
      Object.assign(request, { method: "POST", body: form });
    } else if (body) {
      headers["Content-Type"] = "application/json";
      Object.assign(request, { method: "POST", body: JSON.stringify(body) });
    }
    let response;
    try {
      response = await fetch(path, request);
    } catch (error) {
      if (signal?.aborted) throw error;
      if (lost === LOST_DELAYS.length) {
        throw new Problem("The server cannot be reached. Check that it runs and try again.");
      }
      waiting("The server does not answer; trying again…");
      await sleep(LOST_DELAYS[lost++], signal);
      continue;
    }
    if (response.ok) return response.json();
    const problem = await read(response);
    if (response.status === 401) {
      // Meanwhile another call may have asked.
      if (token() !== sent || (await askToken(sent !== null, signal))) continue;
      throw problem;
    }
    const wait = Number(response.headers.get("Retry-After"));
    const passes = response.status === 429 || response.status === 503;
    if (!passes || !(wait <= LONGEST_WAIT) || ++busy === BUSY_TRIES) throw problem;
    waiting(`The server is busy; trying again in ${Math.max(wait, 1)} s…`);
    await sleep(Math.max(wait, 0.2), signal);
  }
}

async function read(response) {
  let detail = "";
  try {
    const problem = await response.json();
    detail = String(problem.detail || problem.title || "");
  } catch {
    // Something between the page and the service answered.
  }
  const { status } = response;
  detail ||= `the server answered with the error ${status}; try again`;
  return new Problem(detail[0].toUpperCase() + detail.slice(1), status);
}

function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
