// @ts-check
/** What is to be taught: one next word of a sentence, or the whole reply to a prompt. */

/**
 * @typedef {{ids: number[], right: number | string, said?: string, words: string[], was: string}}
 *   WordCorrection after `ids` should have come `right`, a token (`said` is its text) or a text;
 *   `words` are the tokens of `ids`, `was` is the word that was predicted
 * @typedef {{turns: string[], reply: string}} PairCorrection
 * @typedef {WordCorrection | PairCorrection} Correction
 */

/**
 * A correction of the word after one position of what was read.
 * @param {any} read @param {number} position
 * @param {{right: number | string, said?: string}} should what should have come
 * @returns {WordCorrection}
 */
export function wordAfter(read, position, { right, said }) {
  const here = read.positions.slice(0, position + 1);
  return {
    ids: read.ids.slice(0, position + 1),
    right,
    said,
    words: here.map((/** @type {any} */ p) => p.token),
    was: here[position].predicted.token,
  };
}

/**
 * The correction that an address names in the sentence that was read; null where it names none.
 * @param {{right: number | string | null, position: number | null}} at
 * @param {any} read
 */
export function corrected({ right, position }, read) {
  const here = read?.positions[position ?? -1];
  if (right === null || !here) return null;
  const said = here.actual?.token_id === right ? here.actual.token : undefined;
  return wordAfter(read, here.position, { right, said });
}

/**
 * The text that is sent for a word that was typed: where tokens carry the space before them, a new
 * word of a running text begins with one too.
 * @param {string} typed @param {string[]} words the tokens before it
 */
export function spaced(typed, words) {
  const text = typed.trim();
  const carried = words.some((token) => /^\s+\S/.test(token));
  const begins = !words.length || words[words.length - 1].startsWith('<|');
  return carried && !begins && /^[\p{L}\p{N}]/u.test(text) ? ` ${text}` : text;
}
