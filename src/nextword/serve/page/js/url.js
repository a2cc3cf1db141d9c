// @ts-check
/**
 * The selection as an address: `#read?text=…&mode=auto&position=3&layer=2&head=5`; what is to be
 * taught: `#teach?text=…&position=3&right=17` (or `word=…`), or `#teach?prompt=…&reply=…`.
 */

/** @typedef {'read' | 'teach' | 'reply'} Tab */

/** From the whole to the one head: each step names one more number. */
export const LEVELS = /** @type {const} */ (['sentence', 'position', 'layer', 'head']);
const TABS = /** @type {const} */ (['read', 'teach', 'reply']);
const NUMBERS = /** @type {const} */ (['position', 'layer', 'head', 'token', 'against']);
const MODES = ['auto', 'dialogue', 'text'];
const IDS = /^\d{1,9}(,\d{1,9})*$/;
const LONGEST = 2000; // characters of text, or of token ids, that an address carries

/**
 * The level of the last place that is named; −1 where none is.
 * @param {{position?: number | null, layer?: number | null, head?: number | null}} at
 */
export function deepest(at) {
  return LEVELS.findLastIndex((level) => level !== 'sentence' && at[level] != null);
}

/**
 * A place kept below a count; null where there is none.
 * @param {number | null | undefined} value @param {number} count @param {number} otherwise
 */
export function within(value, count, otherwise) {
  if (count <= 0) return null;
  return Math.min(count - 1, Math.max(0, value ?? otherwise));
}

/** @typedef {{position?: number | null, layer?: number | null, head?: number | null}} Place */

/**
 * The places that an address names, kept within a sentence and a model.
 * @param {Place} at
 * @param {number} words
 * @param {{n_layers: number, n_heads: number} | null} card of the model
 * @param {Place} otherwise where the address names none
 */
export function placed(at, words, card, otherwise) {
  const layers = card?.n_layers ?? 0;
  return {
    position: within(at.position, words, otherwise.position ?? 0),
    layer: within(at.layer, layers, otherwise.layer ?? 0),
    head: within(at.head, layers ? card?.n_heads ?? 0 : 0, otherwise.head ?? 0),
  };
}

/**
 * What an address asks for that there is not, and what is shown instead: a sentence for each.
 * @param {Record<string, string>} asked as it stands in the address, by name
 * @param {number} words of the sentence
 * @param {any} card of the model
 * @param {Place} shown
 * @returns {string[]}
 */
export function unmet(asked, words, card, shown) {
  const heads = card?.n_layers ? card.n_heads : 0;
  const counts = { position: words, layer: card?.n_layers ?? 0, head: heads };
  const told = [];
  for (const [name, text] of Object.entries(asked)) {
    const value = whole(text);
    if (name in counts) {
      const place = /** @type {keyof typeof counts} */ (name);
      if (words && value !== shown[place]) told.push(elsewhere(place, text, counts[place], shown));
    } else if (name === 'token' || name === 'against') {
      if (card && (value === null || value >= card.vocab_size)) {
        told.push(`The address asks for token ${text}; tokens are numbered from 0 to `
          + `${card.vocab_size - 1}, so it is left out.`);
      }
    } else {
      told.push(`The address asks for ${name} “${text}”, which there is not: ${OTHERWISE[name]}.`);
    }
  }
  return told;
}

const OTHERWISE = /** @type {Record<string, string>} */ ({
  tab: 'this is Read', mode: 'the text is read as the model expects', ids: 'nothing is read',
});

/**
 * @param {keyof Place} name @param {string} text @param {number} count @param {Place} shown
 */
function elsewhere(name, text, count, shown) {
  const what = name === 'position' ? 'this sentence' : name === 'layer' ? 'this model' : 'a layer';
  if (count === 0) return `The address asks for ${name} ${text}, but this model has no ${name}s.`;
  const range = count === 1 ? `has only ${name} 0` : `has ${name}s 0 to ${count - 1}`;
  return `The address asks for ${name} ${text}, but ${what} ${range}; ${name} ${shown[name]} is `
    + 'shown instead.';
}

/**
 * What an address names that may not be there: places, and what is no valid word of an address.
 * @param {URLSearchParams} fields @param {string} tab
 */
function askedFor(fields, tab) {
  const asked = /** @type {Record<string, string>} */ ({});
  for (const name of NUMBERS) {
    const text = fields.get(name);
    if (text !== null) asked[name] = text;
  }
  const [mode, ids] = [fields.get('mode'), fields.get('ids')];
  if (tab && !TABS.some((known) => known === tab)) asked.tab = tab;
  if (mode !== null && !MODES.includes(mode)) asked.mode = mode;
  if (ids !== null && !IDS.test(ids)) asked.ids = ids;
  return asked;
}

/**
 * @param {string} hash
 * @returns {{tab: Tab, turns: string[] | null, ids: number[] | null,
 *   mode: 'auto' | 'dialogue' | 'text', position: number | null, layer: number | null,
 *   head: number | null, token: number | null, against: number | null,
 *   right: number | string | null, pair: {turns: string[], reply: string} | null,
 *   asked: Record<string, string>}} `asked`: places and words as they stand there
 */
export function readUrl(hash) {
  const [tab, query = ''] = hash.replace(/^#/, '').split('?');
  const fields = new URLSearchParams(query);
  const mode = fields.get('mode');
  const turns = fields.getAll('text');
  const ids = fields.get('ids') ?? '';
  const numbers = Object.fromEntries(NUMBERS.map((name) => [name, whole(fields.get(name))]));
  const reply = fields.get('reply');
  return {
    tab: TABS.find((name) => name === tab) ?? 'read',
    turns: turns.length ? turns : null,
    ids: IDS.test(ids) ? ids.split(',').map(Number) : null,
    mode: mode === 'dialogue' || mode === 'text' ? mode : 'auto',
    right: fields.get('word') ?? whole(fields.get('right')),
    pair: reply === null ? null : { turns: fields.getAll('prompt'), reply },
    asked: askedFor(fields, tab),
    .../** @type {Record<typeof NUMBERS[number], number | null>} */ (numbers),
  };
}

/** @param {string | null} text */
function whole(text) {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/**
 * Words that no text was typed for, such as a step of a reply, are named by their token ids.
 * @param {import('./store.js').State} state
 * @returns {string}
 */
export function writeUrl(state) {
  if (state.tab === 'teach') return writeCorrection(state);
  const fields = new URLSearchParams();
  const text = state.turns.join('');
  if (text && text.length <= LONGEST) for (const turn of state.turns) fields.append('text', turn);
  const ids = state.ids?.join(',') ?? '';
  if (state.turns.length) fields.set('mode', state.mode);
  else if (ids && ids.length <= LONGEST) fields.set('ids', ids);
  const depth = LEVELS.indexOf(state.level);
  NUMBERS.forEach((name, place) => {
    const value = state[name];
    if (value !== null && (place > 2 || place < depth)) fields.set(name, String(value));
  });
  return `#${state.tab}?${fields}`;
}

/**
 * A correction as an address; a word's sentence is named as in Read, where it is that one.
 * @param {import('./store.js').State} state
 * @returns {string}
 */
function writeCorrection({ correction, turns, mode, ids }) {
  const fields = new URLSearchParams();
  if (!correction) return '#teach?';
  if ('turns' in correction) {
    for (const turn of correction.turns) fields.append('prompt', turn);
    fields.set('reply', correction.reply);
  } else {
    const last = correction.ids.length - 1;
    if (turns.length && correction.ids.every((id, i) => id === ids?.[i])) {
      for (const turn of turns) fields.append('text', turn);
      fields.set('mode', mode);
    } else {
      fields.set('ids', correction.ids.join(','));
    }
    fields.set('position', String(last));
    fields.set(typeof correction.right === 'number' ? 'right' : 'word', String(correction.right));
  }
  const address = fields.toString();
  return `#teach?${address.length <= LONGEST ? address : ''}`;
}
