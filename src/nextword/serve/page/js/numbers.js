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
 * `1 word`, `2 words`.
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function plural(count, one, many = `${one}s`) {
  return `${counted(count)} ${count === 1 ? one : many}`;
}

/**
 * Which one of how many a place is that is counted from 0: `the first of 2`.
 * @param {number} place
 * @param {number} count
 */
export function ordinal(place, count) {
  if (count === 1) return 'the only one';
  if (place === 0) return `the first of ${counted(count)}`;
  if (place === count - 1) return `the last of ${counted(count)}`;
  const nth = place + 1;
  const teen = nth % 100 > 10 && nth % 100 < 14;
  const ending = (teen ? null : ['th', 'st', 'nd', 'rd'][nth % 10]) ?? 'th';
  return `the ${counted(nth)}${ending} of ${counted(count)}`;
}

/**
 * A stretch of places that are counted from 0: `words 0–11 of 40, counted from 0`.
 * @param {string} what one of them
 * @param {number} first
 * @param {number} end the first place after the stretch
 * @param {number} count of all
 */
export function stretch(what, first, end, count) {
  const last = Math.min(end, count) - 1;
  return `${what}s ${first}–${last} of ${counted(count)}, counted from 0`;
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
