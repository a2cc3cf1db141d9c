// @ts-check
/** The one selection that drives every panel, and the base class of all that watch it. */

import { LitElement, html, nothing } from '../vendor/lit/index.js';
import { api } from './api.js';
import { corrected } from './teach/correction.js';
import { remembered } from './theme.js';
import { LEVELS, deepest, placed, readUrl, writeUrl } from './url.js';

/** @typedef {any} Read @typedef {any} Card as in the server's answers */
/** @typedef {'sentence' | 'position' | 'layer' | 'head'} Level */
/**
 * @typedef {{tab: import('./url.js').Tab, turns: string[], mode: 'auto' | 'dialogue' | 'text',
 *   ids: number[] | null, read: Read | null, card: Card | null, position: number | null,
 *   layer: number | null, head: number | null, token: number | null, against: number | null,
 *   level: Level, hover: null | {position?: number, layer?: number, head?: number, token?: number},
 *   theme: 'auto' | 'light' | 'dark', busy: number, error: null | {message: string, code: string},
 *   stale: boolean, recorded: boolean,
 *   correction: import('./teach/correction.js').Correction | null}} State
 */

const HOVER_WAIT = 60; // ms: a pointer that only passes asks nothing
const SETTLED = 40; // ms after the last change until the page calls itself ready

/** @type {State} */
let state = {
  tab: 'read', turns: [], mode: 'auto', ids: null, read: null, card: null, position: null,
  layer: null, head: null, token: null, against: null, level: 'sentence', hover: null,
  theme: remembered(), busy: 0, error: null, stale: false, correction: null,
  recorded: Boolean(api.recorded),
};
let shown = state;
let told = state;
let waiting = false;
let settling = 0;
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
  set({ busy: state.busy + 1 });
  return work.finally(() => set({ busy: state.busy - 1 }));
}

/** @param {Partial<State>} patch */
function select(patch) {
  const level = patch.level ?? LEVELS[Math.max(deepest(patch), LEVELS.indexOf(state.level))];
  const moved = patch.position !== undefined && patch.position !== state.position;
  const words = moved ? { token: null, against: null } : {};
  set({ ...words, ...patch, level, hover: null });
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

/** @param {any} error @param {Partial<State>} [patch] */
function failed({ message, code = 'internal' }, patch = {}) {
  set({ ...patch, error: { message, code } });
}

/**
 * Read a text anew and choose where to look.
 * @param {Promise<Read>} asked
 * @param {Partial<State>} patch
 * @param {{position?: number | null, layer?: number | null, head?: number | null,
 *   token?: number | null, against?: number | null, level?: Level}} [at]
 */
async function reading(asked, patch, at = {}) {
  set({ error: null });
  try {
    const read = await track(asked);
    api.look(read.version);
    const started = at.position === undefined || at.position === null;
    set({
      ...patch, ids: read.ids, read, stale: false, hover: null,
      ...placed(at, read.ids.length, state.card, { position: read.ids.length - 1 }),
      token: at.token ?? null, against: at.against ?? null,
      level: at.level ?? (started ? 'position' : LEVELS[deepest(at)]),
    });
  } catch (error) {
    if (error.name === 'AbortError') return;
    failed(error, patch);
  }
}

/**
 * Read what an address names: a text, or else token ids.
 * @param {ReturnType<typeof readUrl>} at
 * @param {{slot?: string}} [options]
 */
async function readAt(at, options) {
  const { turns, ids, mode, tab } = at;
  if (turns?.length) await reading(api.readText(turns, mode, options), { turns, mode, tab }, at);
  else if (ids) await reading(api.readIds(ids, options), { turns: [], tab }, at);
  if (tab === 'teach') set({ correction: at.pair ?? corrected(at, state.read) });
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
  if (!same) await readAt({ ...at, turns }, { slot: 'read' });
  else set({
    ...(at.tab === 'teach' ? { correction: at.pair ?? corrected(at, state.read) } : {}),
    ...placed(at, state.ids?.length ?? 0, state.card, state), tab: at.tab,
    token: at.token, against: at.against, hover: null, level: LEVELS[Math.max(0, deepest(at))],
  });
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
  set,
  track,
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
    await reading(api.readText(turns, mode, { slot: 'read' }), { turns, mode });
    remember();
  },
  /** @param {number[]} ids */
  async readIds(ids) {
    await reading(api.readIds(ids, { slot: 'read' }), { turns: [], tab: 'read' });
    remember();
  },
  /** The same words again, with the weights as they are now. */
  async readAgain() {
    if (state.ids) await reading(api.readIds(state.ids, { slot: 'read' }), {}, state);
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

/**
 * An element that draws from the store. `keys` name what it watches. What `load` returns (or
 * promises) becomes `view`; until then the old view stays, and `loading` is true. A call that a
 * newer one overtook is forgotten; any other failure becomes `problem`.
 */
export class Watching extends LitElement {
  static keys = /** @type {string[]} */ ([]);
  view = /** @type {any} */ (null);
  loading = false;
  problem = /** @type {any} */ (null);
  #turn = 0;
  #leave = () => {};

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    const { keys } = /** @type {typeof Watching} */ (this.constructor);
    this.#leave = store.subscribe(() => this.wake(), keys);
    this.wake();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#leave();
    this.#turn += 1;
  }

  /** @param {State} _shown @returns {any} */
  load(_shown) { return undefined; }

  /** A slot of this element's own for an api call. @param {string} name */
  slotted(name) { return { slot: `${this.localName}.${name}` }; }

  wake() {
    this.requestUpdate();
    if (this.load !== Watching.prototype.load) store.track(this.#run());
  }

  async #run() {
    this.#turn += 1;
    const turn = this.#turn;
    if (state.hover) await new Promise((done) => { setTimeout(done, HOVER_WAIT); });
    if (turn !== this.#turn) return;
    this.loading = true;
    this.requestUpdate();
    try {
      const view = await this.load(shown);
      if (turn !== this.#turn) return;
      this.view = view;
      this.problem = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error.name !== 'AbortError') this.problem = error;
    }
    this.loading = false;
    this.requestUpdate();
  }

  /** A quiet line where something could not be shown. */
  trouble() {
    return this.problem ? html`<p class="quiet">${this.problem.message}</p>` : nothing;
  }
}
