// @ts-check
/** The lesson of this page: what was asked, what came, and what can be done with it now. */

import { api } from '../api.js';
import { plural } from '../numbers.js';
import { store } from '../store.js';
import { spaced } from './correction.js';
import { gathered, readAll } from './other-sentences.js';
import { run } from './run.js';

/** @typedef {'idle' | 'teaching' | 'unkept' | 'kept' | 'undone' | 'failed'} Phase */
/** @typedef {{prompt: string, reply: string, phrasings: string}} Draft */
/**
 * @typedef {{phase: Phase, started: any, steps: any[], lesson: any, status: string,
 *   error: null | {message: string, code: string}, stopping: boolean, elsewhere: boolean,
 *   listing: any, noLonger: any[], others: import('./other-sentences.js').Other[], draft: Draft,
 *   config: Record<string, number | string>, alsoPrompt: boolean}} Teaching
 */

const SCOPES = /** @type {Record<string, string>} */ ({
  all: 'all weights', last: 'the last layers', adapter: 'a low-rank adapter',
});

const JUDGING = 'Every word is right now; what else changed is being judged …';

/** @type {Teaching} Kept while other tabs are open: a change of tabs stops no lesson. */
let state = {
  phase: 'idle', started: null, steps: [], lesson: null, status: '', error: null, stopping: false,
  elsewhere: false, listing: null, noLonger: [], others: [],
  draft: { prompt: '', reply: '', phrasings: '' }, config: {}, alsoPrompt: false,
};
const watchers = /** @type {Set<() => void>} */ (new Set());
let frame = 0;
let adopted = /** @type {unknown} */ (null);
let running = /** @type {AbortController | null} */ (null);

/** The probability that every word must reach. */
function marginOf() {
  const { lesson, config, listing } = state;
  return Number(lesson?.config?.margin ?? config.margin ?? listing?.settings.defaults.margin ?? 0);
}

/** Draw at the next frame, however many steps have come. @param {Partial<Teaching>} patch */
function set(patch) {
  state = { ...state, ...patch };
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    for (const tell of [...watchers]) tell();
  });
}

window.addEventListener('beforeunload', (event) => {
  if (state.phase === 'unkept' || state.phase === 'teaching') event.preventDefault();
});

/** @param {number} bytes */
function size(bytes) {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : [1e6, 'MB'];
  const count = bytes / unit;
  return `${count >= 10 ? count.toFixed(0) : Math.max(0.1, count).toFixed(1)} ${name}`;
}

/** @param {any} started */
function needed({ memory_bytes: bytes, scope, n_taught: count, rehearsal }) {
  return `This lesson needs about ${size(bytes)} (${SCOPES[scope] ?? scope}, `
    + `${plural(count, 'number')}). What must stay known: ${rehearsal}.`;
}

/** @param {any} error */
function failed(error) {
  const { message, code = 'internal' } = error;
  set({ error: { message, code } });
  if (['lesson_open', 'teaching', 'no_lesson', 'folder_changed'].includes(code)) refresh();
}

/**
 * Do something and show what went wrong, if anything did.
 * @param {() => Promise<void>} work
 */
async function tried(work) {
  set({ error: null });
  try {
    await store.track(work());
  } catch (error) {
    failed(error);
  }
}

/** Turns of a prompt: in a dialogue an empty line begins the next. @param {string} prompt */
function turnsOf(prompt) {
  const turning = store.state.card?.kind === 'dialogue';
  return (turning ? prompt.split(/\n\s*\n/) : [prompt]).filter((turn) => turn.trim());
}

/**
 * A pair that was carried here, or named by the address, fills the fields.
 * @param {import('./correction.js').Correction | null} correction
 */
function adopt(correction) {
  if (correction === adopted) return;
  adopted = correction;
  if (!correction || 'ids' in correction) return;
  const { turns, reply } = correction;
  const same = `${turnsOf(state.draft.prompt)}` === `${turns}` && state.draft.reply === reply;
  if (!same) set({ draft: { prompt: turns.join('\n\n'), reply, phrasings: '' } });
}

/** What is to be taught as the server is told it; null where something is missing. */
function asked() {
  const { correction } = store.state;
  if (correction && 'ids' in correction) {
    const { ids, right, words } = correction;
    if (right === '') return null;
    return { ids, right: typeof right === 'number' ? right : spaced(right, words) };
  }
  const { prompt, reply, phrasings } = state.draft;
  if (!reply.trim()) return null;
  const lines = phrasings.split('\n').map((line) => line.trim()).filter(Boolean);
  const turns = turnsOf(prompt);
  const before = turns.length || store.state.card.kind === 'dialogue' ? turns : [''];
  return { pairs: [[...before, reply]], phrasings: lines };
}

/** Teach what the form holds. */
async function start() {
  if (running || state.phase === 'unkept') return;
  const body = asked();
  if (!body) {
    failed({ message: 'Say first what should have come.', code: 'bad_request' });
    return;
  }
  const [pair] = body.pairs ?? [];
  if (pair) store.correct({ turns: pair.slice(0, -1), reply: pair[pair.length - 1] });
  else store.correct(store.state.correction);
  running = new AbortController();
  set({
    phase: 'teaching', started: null, steps: [], lesson: null, stopping: false,
    status: 'Judging what it says now …',
  });
  await tried(() => teach({
    ...body, also_prompt: state.alsoPrompt, config: state.config,
  }, /** @type {any} */ (running).signal));
  running = null;
  if (state.phase === 'teaching') set({ phase: 'failed', status: '' });
}

/** @param {object} body @param {AbortSignal} signal */
async function teach(body, signal) {
  set({ others: await readAll(state.others, 'before') });
  const { event, lesson } = await run(body, { signal, onEvent: heard });
  const settled = event === 'done' && lesson.outcome !== 'already';
  const others = settled ? await readAll(state.others, 'after') : state.others;
  const phase = event === 'not_learned' ? 'failed' : settled ? 'unkept' : 'idle';
  set({ phase, lesson, others, status: lesson.why });
}

/** @param {any} event */
function heard(event) {
  if (event.event === 'started') set({ started: event, status: needed(event) });
  else if (event.event === 'step') {
    const right = event.n_right === event.n_targets && event.least >= marginOf();
    set({ steps: [...state.steps, event], ...(right ? { status: JUDGING } : {}) });
  }
}

async function stop() {
  if (state.phase !== 'teaching' && !state.elsewhere) return;
  set({ stopping: true });
  await tried(async () => { await api.stopLesson(); });
  if (state.elsewhere) await refresh();
}

async function keep() {
  await tried(async () => {
    const { number, lesson } = await api.keepLesson();
    const status = `Kept as lesson ${number}.`;
    set({ phase: 'kept', lesson: { ...state.lesson, ...lesson }, status });
  });
  await refresh();
}

/** Take back the lesson that is shown: in memory, or out of the folder too. */
async function undo() {
  const { number } = state.lesson ?? {};
  if (state.phase === 'kept' && typeof number === 'number') {
    await undoKept([number]);
    return;
  }
  await tried(async () => undone((await api.undoLesson()).version));
  await refresh();
}

/** @param {string} version */
function undone(version) {
  const status = `Undone: the weights are those of version ${version} again.`;
  set({ phase: 'undone', status });
}

/** Take lessons out of the folder. @param {number[] | null} numbers null: all */
async function undoKept(numbers) {
  await tried(async () => {
    const { version, no_longer: noLonger } = await api.undoLessons(numbers);
    const { lesson, phase } = state;
    const shown = phase === 'kept' && (numbers === null || numbers.includes(lesson?.number));
    if (shown && numbers?.length === 1 && !noLonger.length) undone(version);
    else {
      const which = numbers === null ? 'All lessons are' : `Lesson ${numbers.join(', ')} is`;
      set({ phase: shown ? 'undone' : phase, status: `${which} undone; the weights are `
        + `version ${version}.` });
    }
    set({ noLonger });
  });
  await refresh();
}

/** Load the folder again after another program changed it. */
async function reload() {
  await tried(async () => {
    store.set({ card: await api.reload() });
    await store.readAgain();
    set({ phase: 'idle', status: 'The model was loaded again from its folder.' });
  });
  await refresh();
}

/** Ask what lessons there are, and whether one is open that this page does not know of. */
async function refresh() {
  try {
    const listing = await store.track(api.lessons());
    set({ listing, noLonger: listing.no_longer ?? state.noLonger, elsewhere: false });
    if (running) return;
    set({ elsewhere: Boolean(listing.teaching) });
    const { unkept } = listing;
    if (unkept && state.phase !== 'unkept') {
      set({ phase: 'unkept', lesson: unkept, started: null, steps: [], status: unkept.why });
    } else if (!unkept && state.phase === 'unkept') {
      set({ phase: 'idle', status: 'The open lesson was ended in another window.' });
    }
  } catch (error) {
    set({ error: { message: error.message, code: error.code ?? 'internal' } });
  }
}

/** The tab is opened. */
async function open() {
  await refresh();
  if (!state.others.length) await others();
}

/** Gather the sentences to watch anew; what was read of one before stays with it. */
async function others() {
  try {
    const found = await store.track(gathered(store.state.card.name));
    const known = new Map(state.others.map((other) => [other.key, other]));
    set({ others: found.map((other) => known.get(other.key) ?? other) });
  } catch {
    set({ others: [] }); // a model without any text of its own; the user can add some
  }
}

export const teaching = {
  get state() { return state; },
  /** @param {() => void} tell */
  subscribe(tell) {
    watchers.add(tell);
    return () => { watchers.delete(tell); };
  },
  marginOf, set, adopt, open, start, stop, keep, undo, undoKept, reload, others,
};
