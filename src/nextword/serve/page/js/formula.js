// @ts-check
/** Formulas as MathML: small builders that nest. */

import { html, mathml } from '../vendor/lit/index.js';

/** @typedef {any} Part a MathML template or a plain string, which becomes an identifier */

/** @param {Part} part @returns {any} */
function piece(part) {
  return typeof part === 'string' ? mathml`<mi mathvariant="normal">${part}</mi>` : part;
}

/** Parts side by side. @param {...Part} parts */
export const row = (...parts) => mathml`<mrow>${parts.map(piece)}</mrow>`;

/** @param {string} sign an operator: `=`, `+`, `·`, `×`, `−` */
export const op = (sign) => mathml`<mo>${sign}</mo>`;

/** Words in a formula, upright and with their spaces. @param {string} words */
export const text = (words) => mathml`<mtext>${words}</mtext>`;

/** @param {string | number} value */
export const number = (value) => mathml`<mn>${value}</mn>`;

/** @param {Part} top @param {Part} bottom */
export const fraction = (top, bottom) =>
  mathml`<mfrac><mrow>${piece(top)}</mrow><mrow>${piece(bottom)}</mrow></mfrac>`;

/** @param {Part} base @param {Part} below */
export const sub = (base, below) => mathml`<msub>${piece(base)}<mrow>${piece(below)}</mrow></msub>`;

/** @param {Part} inside */
export const root = (inside) => mathml`<msqrt>${piece(inside)}</msqrt>`;

/** A sum over an index. @param {Part} index @param {Part} body */
export const sum = (index, body) =>
  mathml`<mrow><munder><mo>∑</mo><mrow>${piece(index)}</mrow></munder>${piece(body)}</mrow>`;

/** A named vector of a place: `query(i)`. @param {string} name @param {Part} place */
export const vector = (name, place) =>
  mathml`<mrow>${piece(name)}<mo>(</mo>${piece(place)}<mo>)</mo></mrow>`;

/** exp of something. @param {Part} inside */
export const exp = (inside) =>
  mathml`<mrow><mi>exp</mi><mo>(</mo>${piece(inside)}<mo>)</mo></mrow>`;

/** The whole formula, on a line of its own. @param {...Part} parts */
export const formula = (...parts) => html`<nw-formula><math
  display="block">${mathml`<mrow>${parts.map(piece)}</mrow>`}</math></nw-formula>`;

const SCROLLING = { tabindex: '0', role: 'group', 'aria-label': 'The formula, which scrolls' };

/** The line of a formula; where it is too narrow, it scrolls, by keyboard too. */
class NwFormula extends HTMLElement {
  #observer = new ResizeObserver(() => {
    const scrolls = this.scrollWidth > this.clientWidth;
    for (const [name, value] of Object.entries(SCROLLING)) {
      if (scrolls) this.setAttribute(name, value);
      else this.removeAttribute(name);
    }
  });

  connectedCallback() { this.#observer.observe(this); }

  disconnectedCallback() { this.#observer.disconnect(); }
}
customElements.define('nw-formula', NwFormula);
