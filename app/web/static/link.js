/** Whether this tab may hold a connection now, and when one that is open must be given up. */

const TICK_MS = 5000;
const SLEPT_MS = 20000;

/** Resolves once the tab can be seen. Rejects with the reason of `signal`. */
export function shown(signal) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/**
 * Calls `lost` when what is open must be opened again: the tab was hidden, the network came back, or the
 * machine slept, after which a connection may be dead without a word. Gives the function that ends it.
 */
export function onLost(lost) {
  const look = () => document.hidden && lost();
  document.addEventListener("visibilitychange", look);
  addEventListener("online", lost);
  addEventListener(WOKEN, lost);
  return () => {
    document.removeEventListener("visibilitychange", look);
    removeEventListener("online", lost);
    removeEventListener(WOKEN, lost);
  };
}

/** An event of the window: the machine slept. */
export const WOKEN = "dm-woken";

let tick = Date.now();
setInterval(() => {
  const now = Date.now();
  if (!document.hidden && now - tick > SLEPT_MS) dispatchEvent(new Event(WOKEN));
  tick = now;
}, TICK_MS);
