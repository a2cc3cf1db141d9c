// @ts-check
/**
 * How tokens are shown. What cannot be seen in one has a mark: a space at its ends ␣, a line end ↵,
 * a tab ⇥, part of a character ⟨E2⟩; so that “␣I” and “I” are not taken for the same.
 */

import { html } from '../vendor/lit/index.js';

const SIGNS = /** @type {Record<string, string>} */ ({
  ' ': '␣', '\n': '↵', '\r': '␍', '\t': '⇥', '\u00a0': '⍽',
});
const NAMES = /** @type {Record<string, string>} */ ({
  '␣': 'space', '↵': 'line end', '␍': 'carriage return', '⇥': 'tab', '⍽': 'no-break space',
  '∅': 'empty token',
});
const ENDS = /^[\p{Z}\p{C}]+|[\p{Z}\p{C}]+$/gu; // spaces and unseen characters at the ends
const INSIDE = /[\p{Cc}\u2028\u2029]/gu; // control characters and line ends anywhere
const BYTE = /\\x([0-9a-f]{2})/g; // as the server names bytes that are no whole character
const LONG_RUN = /(.)\1{4,}/gu; // of one sign
const MARK = /([␣↵␍⇥⍽∅])(?:×(\d+))?|⟨(U\+)?([0-9A-F]+)⟩/g;
const QUOTED = /(“[^”\s]{1,14}”)/;
const LONG = 14; // letters; a longer token may be cut off by the layout, so it has a title

/** @param {string} letter one that cannot be seen */
function sign(letter) {
  const code = /** @type {number} */ (letter.codePointAt(0)).toString(16).toUpperCase();
  return SIGNS[letter] ?? `⟨U+${code.padStart(4, '0')}⟩`;
}

/**
 * A text with marks for control characters and for bytes that are no whole character.
 * @param {string} text
 */
export function legible(text) {
  return text.replace(INSIDE, sign).replace(BYTE, (_, digits) => `⟨${digits.toUpperCase()}⟩`);
}

/**
 * A token with a mark for everything in it that cannot be seen, as a string.
 * @param {string} token
 */
export function visible(token) {
  if (token === '') return '∅';
  const signs = (/** @type {string} */ run) => Array.from(run, sign).join('')
    .replace(LONG_RUN, (all, one) => `${one}×${Array.from(all).length}`);
  return legible(token.replace(ENDS, signs));
}

/** The name of a mark. @param {RegExpMatchArray} found */
function nameOf([, letter, times, code, digits]) {
  if (digits) return `${code ? 'character U+' : 'byte '}${digits}`;
  return times ? `${times} times ${NAMES[letter]}` : NAMES[letter];
}

/**
 * A text of the server or of `visible`, in which the marks are faint and have names. No line ends
 * between a mark and the quotation marks around a short token.
 * @param {string} content
 * @returns {unknown}
 */
export function marked(content) {
  const text = legible(content);
  if (text.search(MARK) < 0) return text;
  return text.split(QUOTED).map((part, i) => (i % 2 && part.search(MARK) >= 0
    ? html`<span class="token short">${faint(part)}</span>` : faint(part)));
}

/** @param {string} text with marks */
function faint(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(MARK)) {
    parts.push(text.slice(from, found.index), html`<span class="token-mark" role="img"
      aria-label=${nameOf(found)}>${found[0]}</span>`);
    from = /** @type {number} */ (found.index) + found[0].length;
  }
  return [...parts, text.slice(from)];
}

/** A text with marks as it is spoken: `␣I` is “space I”. @param {string} text */
export function spokenText(text) {
  return text.replace(MARK, (...found) => ` ${nameOf(/** @type {any} */ (found))} `)
    .replace(/ {2,}/g, ' ').trim();
}

/** A token as it is spoken. @param {string} token */
export function spoken(token) { return spokenText(visible(token)); }

/** A token as people read it. @param {string} token */
export function word(token) {
  const text = visible(token);
  if (text === token && text.length < LONG) return text;
  return text.length < LONG ? html`<span class="token short">${marked(text)}</span>`
    : html`<span class="token" title=${text}>${marked(text)}</span>`;
}

/** A token in quotation marks. @param {string} token */
export function quoted(token) {
  const text = visible(token);
  return text.length < LONG ? marked(`“${text}”`) : html`“${word(token)}”`;
}

/** The same where only a string can stand, such as in a choice. @param {string} token */
export function quotedText(token) { return `“${visible(token)}”`; }

/**
 * Tokens as they stand in a text: where they carry their own spaces they are only put together.
 * @param {string[]} tokens
 */
export function textOf(tokens) {
  if (!tokens.some((token) => /^\s|\s$/.test(token))) return tokens.join(' ').trim();
  return tokens.map((token) => (token.startsWith('<|') ? ` ${token}` : token)).join('').trim();
}
