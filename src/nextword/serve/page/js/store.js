// @ts-check
/** The one selection that drives every panel. */

import { api } from './api.js';
import { corrected } from './teach/correction.js';
import { remembered } from './theme.js';
import { LEVELS, deepest, placed, readUrl, unmet, writeUrl } from './url.js';

/** @typedef {any} Read @typedef {any} Card as in the server's answers */
/** @typedef {'sentence' | 'position' | 'layer' | 'head'} Level */
/**
 * @typedef {{tab: import('./url.js').Tab, turns: string[], mode: 'auto' | 'dialogue' | 'text',
 *   ids: number[] | null, read: Read | null, card: Card | null, position: number | null,
 *   layer: number | null, head: number | null, token: number | null, against: number | null,
 *   level: Level, hover: null | {position?: number, layer?: number, head?: number, token?: number},
 *   theme: 'auto' | 'light' | 'dark', busy: number, error: null | {message: string, code: string},
 *   stale: boolean, recorded: boolean, reading: boolean, slow: boolean, unmet: string[],
 *   correction: import('./teach/correction.js').Correction | null}} State
 */

const LONG = 300; // ms; what takes longer is said to take its time
const PAUSE = 30; // ms between two questions of one piece of work
const SETTLED = 40; // ms after the last change until the page calls itself ready

/** @type {State} */
let state = {
  tab: 'read', turns: [], mode: 'auto', ids: null, read: null, card: null, position: null,
  layer: null, head: null, token: null, against: null, level: 'sentence', hover: null,
  theme: remembered(), busy: 0, error: null, stale: false, correction: null,
  reading: false, slow: false, unmet: [],
  recorded: Boolean(api.recorded),
};
let shown = state;
let told = state;
let waiting = false;
let settling = 0;
let working = 0; // the timer of `slow`
let turn = 0; // of the newest sentence that was asked for
const watchers = /** @type {Set<{tell: (s: State) => void, keys?: string[]}>} */ (new Set());

/** @param {Partial<State>} patch */
function set(patch) {
  state = { ...state, ...patch };
  shown = state.hover ? { ...state, ...state.hover } : state;
  settle();
  if (waiting) return;
  waiting = true;
  queueMicrotask(tell);
}

function tell() {
  waiting = false;
  const old = /** @type {any} */ (told);
  const now = /** @type {any} */ (shown);
  told = shown;
  for (const { tell: hear, keys } of [...watchers]) {
    if (!keys || keys.some((key) => old[key] !== now[key])) hear(shown);
  }
}

/** `data-ready` stands on <html> while nothing is asked and everything is drawn. */
function settle() {
  const root = document.documentElement;
  delete root.dataset.ready;
  clearTimeout(settling);
  settling = window.setTimeout(() => {
    if (state.busy === 0) root.dataset.ready = '1';
  }, SETTLED);
}

/**
 * Count a piece of work as open until it ends.
 * @template T @param {Promise<T>} work @returns {Promise<T>}
 */
function track(work) {
  count(1);
  return work.finally(() => count(-1));
}

/** `slow` is true while work has been open for long. @param {1 | -1} by */
function count(by) {
  const busy = state.busy + by;
  set({ busy });
  if (busy && (state.slow || working)) return;
  const wait = busy ? LONG : PAUSE;
  if (!busy) clearTimeout(working);
  working = window.setTimeout(() => {
    working = 0;
    if (state.slow !== state.busy > 0) set({ slow: state.busy > 0 });
  }, wait);
}

/** @param {Partial<State>} patch */
function select(patch) {
  const level = patch.level ?? LEVELS[Math.max(deepest(patch), LEVELS.indexOf(state.level))];
  const moved = patch.position !== undefined && patch.position !== state.position;
  const words = moved ? { token: null, against: null } : {};
  set({ ...words, ...patch, level, hover: null, unmet: [] });
  remember();
  window.dispatchEvent(new CustomEvent('nw-select'));
}

/** @param {boolean} [replace] */
function remember(replace = false) {
  if (state.recorded) return; // a shared file has no text to come back to
  const address = writeUrl(state);
  if (address === location.hash) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
}

/** What there is where no sentence was read. */
const NOTHING = {
  ids: null, read: null, position: null, layer: null, head: null, token: null, against: null,
  level: /** @type {Level} */ ('sentence'), stale: false, hover: null, unmet: [],
};

/**
 * Say what went wrong. With a patch it was a new sentence: what was shown of the one before goes.
 * @param {any} error @param {Partial<State> | null} [patch]
 */
function failed({ message, code = 'internal' }, patch = null) {
  set({ ...(patch ? { ...NOTHING, ...patch } : {}), error: { message, code } });
}

/**
 * Read a text anew and choose where to look. The sentence that was asked for last counts.
 * @param {Promise<Read>} asked
 * @param {Partial<State> | null} patch null: the same sentence
 * @param {import('./url.js').Place & {token?: number | null, against?: number | null,
 *   level?: Level, asked?: Record<string, string>}} [at]
 * @returns {Promise<boolean>} whether no newer one was asked for meanwhile
 */
async function reading(asked, patch, at = {}) {
  turn += 1;
  const mine = turn;
  set({ error: null, reading: true });
  try {
    const read = await track(asked);
    if (mine !== turn) return false;
    api.look(read.version);
    const fresh = { ids: read.ids, read, stale: false, hover: null };
    set({ ...patch, ...fresh, ...chosen(at, read.ids.length) });
  } catch (error) {
    if (mine !== turn) return false;
    if (error.name !== 'AbortError') failed(error, patch);
  }
  set({ reading: false });
  return true;
}

/**
 * The selection that an address names, kept within a sentence, and what of it there is not.
 * @param {Parameters<typeof reading>[2] & {}} at @param {number} words
 * @param {import('./url.js').Place} [otherwise] where the address names none
 */
function chosen(at, words, otherwise = { position: words - 1 }) {
  const { card } = state;
  const known = (/** @type {number | null | undefined} */ token) =>
    (token == null || (card && token >= card.vocab_size) ? null : token);
  const places = placed(at, words, card, otherwise);
  const started = at.position === undefined || at.position === null;
  return {
    ...places, token: known(at.token), against: known(at.against),
    level: at.level ?? (started ? 'position' : LEVELS[deepest(at)]),
    unmet: unmet(at.asked ?? {}, words, card, places),
  };
}

/**
 * Read what an address names: a text, or else token ids.
 * @param {ReturnType<typeof readUrl>} at
 */
async function readAt(at) {
  const { turns, ids, mode, tab } = at;
  const text = turns?.length ? turns : null;
  const asked = text ? api.readText(text, mode, { slot: 'read' })
    : ids && api.readIds(ids, { slot: 'read' });
  const patch = text ? { turns: text, mode, tab } : { turns: [], tab };
  if (!asked) set({ unmet: unmet(at.asked, 0, state.card, {}) });
  else if (!await reading(asked, patch, at)) return;
  if (tab === 'teach') carry(at);
}

/** What an address names to be taught. @param {ReturnType<typeof readUrl>} at */
function carry(at) {
  const correction = at.pair ?? corrected(at, state.read);
  set({ correction });
  if (at.right === null || correction || !state.read) return;
  const last = state.read.ids.length - 1;
  set({ unmet: [`The address names position ${at.asked.position ?? '–'} of a sentence that has `
    + `positions 0 to ${last}, so no word was carried here.`] });
}

/** Other weights answer: what was read is of the past until it is read anew. @param {string} now */
function swapped(now) {
  const card = state.card && state.card.version !== now ? { ...state.card, version: now }
    : state.card;
  set({ card, stale: state.read !== null && now !== state.read.version });
}

/** What the address says, or what a shared file recorded. */
async function start() {
  api.onversion(swapped);
  const at = readUrl(location.hash);
  set({ tab: at.tab, mode: at.mode, turns: at.turns ?? [] });
  try {
    set({ card: await track(api.model()) });
  } catch (error) {
    failed(error);
    return;
  }
  if (state.recorded) await reading(api.readIds([]), { tab: 'read' }, api.recorded.start);
  else await readAt(at);
  if (state.read || state.correction) remember(true);
}

/** Back and forward. */
async function revisit() {
  const at = readUrl(location.hash);
  const turns = at.turns ?? (at.ids ? [] : state.turns);
  const same = JSON.stringify(turns) === JSON.stringify(state.turns)
    && (turns.length ? at.mode === state.mode : !at.ids || `${at.ids}` === `${state.ids}`);
  if (!same) await readAt({ ...at, turns });
  else {
    set({
      ...chosen(at, state.ids?.length ?? 0, state), tab: at.tab, hover: null,
      level: LEVELS[Math.max(0, deepest(at))],
    });
    if (at.tab === 'teach') carry(at);
  }
  if (state.unmet.length) remember(true); // the address then says what is shown
}

export const store = {
  get state() { return state; },
  /** The state with the preview laid over it: what panels draw. */
  get shown() { return shown; },
  /**
   * @param {(shown: State) => void} tell called at most once per microtask
   * @param {string[]} [keys] only when one of these changed
   */
  subscribe(tell, keys) {
    const watcher = { tell, keys };
    watchers.add(watcher);
    return () => { watchers.delete(watcher); };
  },
  LONG,
  set,
  track,
  /** Nothing can be read. @param {string} message */
  refuse(message) {
    turn += 1;
    failed({ message, code: 'bad_request' }, { turns: [], reading: false });
  },
  /** Lock a selection: it goes into the address and is spoken. */
  select,
  /** @param {State['hover']} patch a preview; null ends it */
  hover(patch) {
    if (patch === null && state.hover === null) return;
    set({ hover: patch });
  },
  /** One step up: head → layer → position → sentence. */
  climb() {
    const up = LEVELS[Math.max(0, LEVELS.indexOf(state.level) - 1)];
    select({ level: up });
  },
  /** @param {string[]} turns @param {State['mode']} mode */
  async read(turns, mode) {
    if (await reading(api.readText(turns, mode, { slot: 'read' }), { turns, mode })) remember();
  },
  /** @param {number[]} ids */
  async readIds(ids) {
    const asked = api.readIds(ids, { slot: 'read' });
    if (await reading(asked, { turns: [], tab: 'read' })) remember();
  },
  /** The same words again, with the weights as they are now. */
  async readAgain() {
    if (state.ids) await reading(api.readIds(state.ids, { slot: 'read' }), null, state);
  },
  /**
   * Whose logit the account explains.
   * @param {number | null} token @param {number | null} against
   */
  choose(token, against) { select({ token, against }); },
  /** @param {State['tab']} tab */
  open(tab) {
    set({ tab });
    remember();
  },
  /** What is to be taught. @param {State['correction']} correction */
  correct(correction) {
    set({ tab: 'teach', correction });
    remember();
  },
  start,
  revisit,
};
