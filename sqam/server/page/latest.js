// Which of several answers counts: the latest.

// Runs tasks of which a newer one ends the older.
//
// The function that comes back takes the task (called with a signal and `waiting`, see api.js),
// what is done with its answer, and the milliseconds to wait for a newer task before it starts.
// An answer that a newer task overtook is dropped, even one that could not be called off.
export function latest(notice) {
  let number = 0;
  let controller = null;
  let timer = 0;

  function stop() {
    clearTimeout(timer);
    controller?.abort();
    controller = null;
    number += 1;
    notice?.clear();
  }

  function run(task, done, delay = 0) {
    clearTimeout(timer);
    const mine = ++number;
    timer = setTimeout(async () => {
      controller?.abort();
      controller = new AbortController();
      const { signal } = controller;
      notice?.working();
      const waiting = (line) => mine === number && notice?.waiting(line);
      try {
        const answer = await task({ signal, waiting });
        if (mine !== number) return;
        notice?.clear();
        done(answer);
      } catch (error) {
        if (mine !== number || signal.aborted) return;
        notice?.problem(error, () => run(task, done));
      }
    }, delay);
  }

  return { run, stop };
}

// Runs one task at a time; of those that come meanwhile only the last, so that what follows a
// slider shows something all along, however slow the server is.
export function conveyor(notice) {
  let busy = false;
  let next = null;

  async function run(task, done) {
    next = [task, done];
    if (busy) return;
    busy = true;
    while (next) {
      const [current, finish] = next;
      next = null;
      notice.working();
      try {
        const answer = await current({ waiting: notice.waiting });
        notice.clear();
        finish(answer);
      } catch (error) {
        if (!next) notice.problem(error, () => run(current, finish));
      }
    }
    busy = false;
  }

  return { run };
}
