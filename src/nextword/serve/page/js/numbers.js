// @ts-check
/** How numbers are printed and named. Every printed number is a float32. */

const MINUS = '−';

/**
 * A number with a fixed count of decimals; a true minus sign, and never a minus zero.
 * @param {number} value
 * @param {number} [digits]
 */
export function shown(value, digits = 4) {
  if (Number.isNaN(value)) return 'not a number';
  if (!Number.isFinite(value)) return value < 0 ? `${MINUS}∞` : '∞';
  const text = Math.abs(Math.fround(value)).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

/**
 * A probability in percent, with one decimal.
 * @param {number} probability
 */
export function percent(probability) {
  return `${shown(100 * Math.fround(probability), 1)} %`;
}

/**
 * The canonical name of a number: `POINT[i,j,k]`.
 * @param {string} point
 * @param {readonly number[]} index
 */
export function canonical(point, index) {
  return `${point}[${index.join(',')}]`;
}

/**
 * A canonical name taken apart; null where the name has no index.
 * @param {string} name
 * @returns {{name: string, index: number[]} | null}
 */
export function parsed(name) {
  const found = /^(.*)\[([\d,]+)\]$/.exec(name);
  return found && { name: found[1], index: found[2].split(',').map(Number) };
}

/**
 * A count with thin groups of three: 12 345 678.
 * @param {number} value
 */
export function counted(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/**
 * A token as people read it: no outer spaces, and a name for what cannot be seen.
 * @param {string} token
 */
export function word(token) {
  const trimmed = token.trim();
  if (trimmed) return trimmed;
  if (token === '') return 'nothing';
  return token.includes('\n') ? '↵' : token.includes('\t') ? '⇥' : '␣';
}

/** @param {string} token the token in quotation marks */
export function quoted(token) {
  return `“${word(token)}”`;
}

/**
 * `1 word`, `2 words`.
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${counted(count)} ${count === 1 ? one : many}`;
}

/**
 * The length of a vector.
 * @param {ArrayLike<number>} vector
 */
export function norm(vector) {
  let sum = 0;
  for (let i = 0; i < vector.length; i += 1) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
}

/**
 * The place of the largest number.
 * @param {ArrayLike<number>} values
 * @param {boolean} [absolute] compare sizes without their signs
 */
export function largest(values, absolute = false) {
  let best = 0;
  const size = (/** @type {number} */ v) => (absolute ? Math.abs(v) : v);
  for (let i = 1; i < values.length; i += 1) if (size(values[i]) > size(values[best])) best = i;
  return best;
}
