// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { stretch } from '../numbers.js';
import { marked } from '../tokens.js';

const MOST = 1000; // cells at a time
const WIDE = 32;

/**
 * A real table of at most 1,000 cells; a larger one is shown in pages of 32 columns and as many
 * rows. `rows` and `columns` are the headings; `cell(r, c)` gives a template or a string.
 */
export class NwTable extends LitElement {
  static properties = {
    rows: { attribute: false }, columns: { attribute: false }, cell: { attribute: false },
    caption: { attribute: false }, top: { state: true }, left: { state: true },
  };

  constructor() {
    super();
    /** @type {string[]} */
    this.rows = [];
    /** @type {string[]} */
    this.columns = [];
    /** @type {(row: number, column: number) => unknown} */
    this.cell = () => '';
    this.caption = '';
    this.top = 0;
    this.left = 0;
  }

  createRenderRoot() { return this; }

  render() {
    const whole = this.rows.length * this.columns.length <= MOST;
    const wide = whole ? this.columns.length : WIDE;
    const tall = whole ? this.rows.length : Math.floor(MOST / WIDE);
    const left = Math.min(this.left, Math.max(0, this.columns.length - 1));
    const top = Math.min(this.top, Math.max(0, this.rows.length - 1));
    const rows = this.rows.slice(top, top + tall);
    const columns = this.columns.slice(left, left + wide);
    return html`
      ${whole ? nothing : this.#pages({ top, left, tall, wide })}
      <div class="scroller" tabindex="0" role="region" aria-label=${this.caption}>
        <table class="plain"><caption>${this.caption}</caption>
          <thead><tr><td></td>${columns.map((name) => html`<th
            scope="col">${marked(name)}</th>`)}</tr></thead>
          <tbody>${rows.map((name, r) => html`<tr><th scope="row">${marked(name)}</th>
            ${columns.map((_, c) => html`<td>${this.cell(top + r, left + c)}</td>`)}</tr>`)}
          </tbody></table></div>`;
  }

  /** @param {{top: number, left: number, tall: number, wide: number}} page */
  #pages({ top, left, tall, wide }) {
    const turn = (/** @type {'top' | 'left'} */ side, /** @type {number} */ to) =>
      (/** @type {Event} */ _) => { this[side] = to; };
    const pair = (/** @type {'top' | 'left'} */ side, at = 0, by = 0, count = 0, what = '') => html`
      <span class="muted">${stretch(what, at, at + by, count)}</span>
      <button type="button" ?disabled=${at === 0} @click=${turn(side, Math.max(0, at - by))}>
        Earlier ${what}s</button>
      <button type="button" ?disabled=${at + by >= count} @click=${turn(side, at + by)}>
        Later ${what}s</button>`;
    return html`<div class="toolbar">
      ${pair('left', left, wide, this.columns.length, 'column')}
      ${pair('top', top, tall, this.rows.length, 'row')}</div>`;
  }
}

customElements.define('nw-table', NwTable);
