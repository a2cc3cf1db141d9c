// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { matrix } from '../draw.js';
import { largest, shown } from '../numbers.js';
import { marked, spokenText } from '../tokens.js';

const narrow = matchMedia('(max-width: 640px)');
const NAMED = 16; // a larger matrix has no words along its edges
const PASSING = 60; // ms: a pointer that only passes asks nothing
let count = 0;

/**
 * A matrix as a picture, read with a virtual cursor: an ARIA grid whose one real cell follows the
 * arrows. `exact(r, c)` promises a float32 where `data` holds bytes, which serve for colour only.
 * On a narrow screen one row is shown at a time.
 */
export class NwMatrix extends LitElement {
  static properties = {
    data: { attribute: false }, rows: { attribute: false }, columns: { attribute: false },
    shape: { attribute: false }, names: { attribute: false }, domain: { attribute: false },
    mask: { attribute: false }, visible: { attribute: false }, limit: { attribute: false },
    label: { attribute: false },
    exact: { attribute: false }, row: { attribute: false }, column: { attribute: false },
    root: { state: true }, table: { state: true }, number: { state: true },
  };

  #id = `matrix-${count += 1}`;
  #asked = 0;
  #faded = false; // the colours have changed since it was drawn
  #redraw = () => {
    this.#faded = true;
    this.requestUpdate();
  };

  constructor() {
    super();
    /** @type {Float32Array | Uint8Array} */
    this.data = new Float32Array();
    /** @type {string[]} */
    this.rows = [];
    /** @type {string[]} */
    this.columns = [];
    /** @type {number[]} */
    this.shape = [0, 0];
    /** @type {(row: number, column: number) => string} the canonical name of a cell */
    this.names = () => '';
    /** @type {'weights' | 'signed'} */
    this.domain = 'weights';
    /** @type {((row: number, column: number) => boolean) | null} */
    this.mask = null;
    /** @type {((row: number) => [number, number]) | null} the columns that are not masked */
    this.visible = null;
    this.limit = 0;
    this.label = 'matrix';
    /** @type {((row: number, column: number) => Promise<number>) | null} */
    this.exact = null;
    this.row = 0;
    this.column = 0;
    this.root = false;
    this.table = false;
    this.number = /** @type {number | null} */ (null);
  }

  createRenderRoot() { return this; }

  connectedCallback() {
    super.connectedCallback();
    window.addEventListener('nw-theme', this.#redraw);
    narrow.addEventListener('change', this.#redraw);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    window.removeEventListener('nw-theme', this.#redraw);
    narrow.removeEventListener('change', this.#redraw);
  }

  get strongest() {
    if (this.limit) return this.limit;
    if (this.data instanceof Uint8Array) return 255;
    return this.domain === 'weights' ? 1 : Math.abs(this.data[largest(this.data, true)] ?? 0);
  }

  /** @param {Map<PropertyKey, unknown>} changed */
  willUpdate(changed) {
    if (!['data', 'row', 'column'].some((name) => changed.has(name))) return;
    const [r, c] = [this.row, this.column];
    this.number = this.data instanceof Uint8Array ? null : this.data[r * this.shape[1] + c] ?? null;
    if (this.number === null && this.exact && !this.mask?.(r, c)) this.#ask(r, c);
  }

  /** @param {number} r @param {number} c */
  async #ask(r, c) {
    this.#asked += 1;
    const asked = this.#asked;
    await new Promise((done) => { setTimeout(done, PASSING); });
    if (asked !== this.#asked) return;
    const value = await this.exact?.(r, c).catch(() => null);
    if (asked === this.#asked) this.number = value ?? null;
  }

  render() {
    const [rows, columns] = this.shape;
    const limit = this.data instanceof Uint8Array ? 1 : this.strongest;
    const named = Math.max(rows, columns) <= NAMED && !narrow.matches;
    const edge = (/** @type {string} */ side, /** @type {string[]} */ words) => html`<div
      class=${side} aria-hidden="true">${words.map((name) => html`<span
        title=${name}>${marked(name)}</span>`)}</div>`;
    return html`<div class=${named ? 'named' : ''}>
      ${named ? [edge('above', this.columns), edge('beside', this.rows)] : nothing}
      <div class="grid-frame" role="grid" tabindex="0" aria-label=${this.label}
        aria-rowcount=${rows} aria-colcount=${columns} aria-activedescendant="${this.#id}-cell"
        @keydown=${this.#key} @pointermove=${this.#point} @click=${this.#pick}>
        <canvas class="cells hatched" aria-hidden="true"></canvas>
        <div role="row" aria-rowindex=${this.row + 1}><div role="gridcell" id="${this.#id}-cell"
          class="cursor" aria-colindex=${this.column + 1} aria-label=${this.#spoken()}
          .style=${this.#place()}></div></div>
      </div></div>
      <p class="reading">${this.#reading()}</p>
      <div class="toolbar">
        <span class="scale ${this.domain}" aria-hidden="true"></span>
        <span class="muted">${this.domain === 'signed' ? `${shown(-limit, 2)} to ` : '0 to '}
          ${shown(limit, this.domain === 'signed' ? 2 : 0)}${this.root
            ? ', square root' : ''}</span>
        ${this.domain === 'weights' ? html`<label class="check"><input type="checkbox"
          .checked=${this.root} @change=${this.#rooted}> square root of the colour</label>`
          : nothing}
        ${this.data instanceof Uint8Array ? nothing : html`<button type="button"
          aria-expanded=${String(this.table)} @click=${() => { this.table = !this.table; }}>
          ${this.table ? 'Hide the table' : 'Show as table'}</button>`}
      </div>
      ${this.table ? html`<nw-table .rows=${this.rows} .columns=${this.columns}
        .caption=${this.label} .cell=${this.#cell}></nw-table>` : nothing}`;
  }

  #cell = (/** @type {number} */ r, /** @type {number} */ c) =>
    (this.mask?.(r, c) ? html`<span class="muted">masked</span>` : html`<nw-number
      .value=${this.data[r * this.shape[1] + c]} .name=${this.names(r, c)}></nw-number>`);

  #spoken() {
    const [r, c] = [this.row, this.column];
    const value = this.mask?.(r, c) ? 'masked' : this.number === null ? '' : shown(this.number);
    return `${spokenText(this.rows[r])} to ${spokenText(this.columns[c])}: ${value}`;
  }

  #reading() {
    const [r, c] = [this.row, this.column];
    const pair = html`<span>“${marked(this.rows[r])}” <span class="muted">→</span>
      “${marked(this.columns[c])}”</span>`;
    if (this.mask?.(r, c)) return html`${pair} <span class="muted">masked</span>`;
    return html`${pair} ${this.number === null ? nothing : html`<nw-number .value=${this.number}
      .name=${this.names(r, c)} .clickable=${true}></nw-number>`}`;
  }

  #place() {
    const [rows, columns] = this.shape;
    const tall = narrow.matches ? 1 : rows;
    const top = narrow.matches ? 0 : this.row;
    return `--x:${this.column / columns};--y:${top / tall};--w:${1 / columns};--h:${1 / tall}`;
  }

  /** @param {Map<PropertyKey, unknown>} changed */
  updated(changed) {
    const canvas = this.querySelector('canvas');
    const seen = ['data', 'shape', 'domain', 'limit', 'root', ...(narrow.matches ? ['row'] : [])];
    if (!canvas || !(this.#faded || seen.some((key) => changed.has(key)))) return;
    this.#faded = false;
    const [rows, columns] = this.shape;
    const first = narrow.matches ? this.row : 0;
    const tall = narrow.matches ? Math.min(1, rows) : rows;
    const { visible } = this;
    matrix(canvas, this.data.subarray(first * columns, (first + tall) * columns), [tall, columns],
      this.domain, this.strongest,
      { root: this.root, visible: visible ? (row) => visible(first + row) : undefined });
  }

  /** @param {Event} event */
  #rooted(event) { this.root = /** @type {HTMLInputElement} */ (event.target).checked; }

  /** @param {number} row @param {number} column */
  #go(row, column) {
    const [r, c] = [Math.max(0, Math.min(this.shape[0] - 1, row)),
      Math.max(0, Math.min(this.shape[1] - 1, column))];
    [this.row, this.column] = [r, c];
  }

  #pick() {
    const detail = { row: this.row, column: this.column };
    this.dispatchEvent(new CustomEvent('nw-pick', { bubbles: true, detail }));
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    const row = narrow.matches ? this.row
      : Math.floor(((event.clientY - box.top) / box.height) * this.shape[0]);
    this.#go(row, Math.floor(((event.clientX - box.left) / box.width) * this.shape[1]));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      Home: [0, -this.column], End: [0, this.shape[1]] }[event.key];
    if (event.key === 'Enter') this.#pick();
    if (!step) return;
    event.preventDefault();
    this.#go(this.row + step[0], this.column + step[1]);
  }
}

customElements.define('nw-matrix', NwMatrix);
