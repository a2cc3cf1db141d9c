// @ts-check
/** The lens: the next word as it would be read off after each layer, for every word. */

import { html, nothing } from '../../vendor/lit/index.js';
import { api } from '../api.js';
import { percent, stretch } from '../numbers.js';
import { store } from '../store.js';
import { quoted, spoken, visible } from '../tokens.js';
import { Watching } from '../watching.js';
import '../elements/nw-number.js';

const BLOCK = 32; // positions of one question to the server, and columns of the grid
const narrow = matchMedia('(max-width: 640px)');

/**
 * The positions that are asked for together with this one.
 * @param {number} position @param {number} count of the sentence
 */
export function blockOf(position, count) {
  const start = BLOCK * Math.floor(position / BLOCK);
  return Array.from({ length: Math.min(BLOCK, count - start) }, (_, i) => start + i);
}

/**
 * A stage's place in the model: how many layers' attention lies behind it, and its order.
 * @param {string} stage
 */
function placeOf(stage) {
  const found = /^blocks\.(\d+)\.residual_(mid|post)$/.exec(stage);
  if (!found) return { layer: null, depth: 0, order: 0, middle: false };
  const layer = Number(found[1]);
  const middle = found[2] === 'mid';
  return { layer, depth: layer + 1, order: 2 * layer + (middle ? 1 : 2), middle };
}

/**
 * Whether one cell can influence another: it lies at an earlier stage, at no later word, and no
 * further back than the windows of the layers between let through.
 * @param {(number|null)[]} windows of each layer
 * @param {{stage: string, position: number}} from @param {{stage: string, position: number}} to
 */
function influences(windows, from, to) {
  const [a, b] = [placeOf(from.stage), placeOf(to.stage)];
  const back = to.position - from.position;
  if (a.order > b.order || back < 0) return false;
  let reach = 0;
  for (const size of windows.slice(a.depth, b.depth)) reach += size === null ? Infinity : size - 1;
  return back <= reach;
}

/** @param {string} stage */
function nameOf(stage) {
  const { layer, middle } = placeOf(stage);
  if (layer === null) return 'word vectors';
  return middle ? `layer ${layer}, after attention` : `layer ${layer}`;
}

export class NwLens extends Watching {
  static keys = ['ids', 'position', 'layer', 'card'];

  #at = /** @type {number|null} */ (null);
  #redraw = () => this.requestUpdate();

  constructor() {
    super();
    /** @type {number|null} first word of the columns, when it isn't the selection's */
    this.page = null;
    this.middles = false;
    /** @type {{row: number, column: number}|null} the cell that the keyboard or pointer is at */
    this.cursor = null;
  }

  connectedCallback() {
    super.connectedCallback();
    narrow.addEventListener('change', this.#redraw);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    narrow.removeEventListener('change', this.#redraw);
  }

  /** @param {any} shown */
  async load({ ids, position, card, read }) {
    if (!ids || !card || position === null) return null;
    if (store.state.position !== this.#at) {
      this.#at = store.state.position;
      this.page = null;
      this.cursor = null;
    }
    const asked = blockOf(this.page ?? position, ids.length);
    const lens = await api.lens(ids, asked, this.slotted('lens'));
    return { lens, read, windows: card.windows };
  }

  /** Stages and columns that are drawn. */
  get grid() {
    const { lens } = this.view;
    const numbered = (/** @type {any[]} */ all) => all.map((value, place) => ({ value, place }));
    const stages = numbered(lens.stages).map(({ value, place }) => ({ stage: value, row: place }))
      .filter(({ stage }) => this.middles || !placeOf(stage).middle);
    const columns = numbered(lens.positions)
      .map(({ value, place }) => ({ position: value, column: place }));
    const here = columns.filter(({ position }) => position === store.shown.position);
    return { stages, columns: narrow.matches && here.length ? here : columns };
  }

  render() {
    if (!this.view) return this.trouble();
    const { lens, read } = this.view;
    const { stages, columns } = this.grid;
    const focus = this.focusCell(stages, columns);
    return html`<section class="part" aria-label="The lens">
      <h3>What each word would say after each layer</h3>
      <p class="hint">Each cell sends the residual of that stage straight to the fully connected
        layer: approximate. <b class="settled">Underlined</b>: already the word of the last row.</p>
      ${this.trouble()}
      ${this.choices(read.positions.length)}
      <div class="lens-scroll">
        <table id="lens-grid" role="grid" aria-label="Next word by layer and position"
          @keydown=${this.key} @pointerover=${this.point} @pointerleave=${() => this.leave()}
          @focusin=${this.point} @focusout=${() => this.leave()} @click=${this.pick}>
          <thead><tr role="row"><th scope="col" role="columnheader">after</th>
            ${columns.map(({ position }) => html`<th scope="col" role="columnheader"
              data-column=${position} aria-label=${spoken(read.positions[position].token)}
              title=${visible(read.positions[position].token)}
              .textContent=${visible(read.positions[position].token)}></th>`)}</tr></thead>
          <tbody>${stages.map((entry) => html`<tr role="row">
            <th scope="row" role="rowheader">${nameOf(entry.stage)}</th>
            ${columns.map((column) => this.cell(lens, entry, column, focus))}</tr>`)}</tbody>
        </table></div>
      ${this.reading(lens, read)}</section>`;
  }

  /** @param {any[]} stages @param {any[]} columns */
  focusCell(stages, columns) {
    const here = stages.find(({ stage }) => placeOf(stage).layer === store.shown.layer);
    const row = this.cursor && stages.some((entry) => entry.row === this.cursor?.row)
      ? this.cursor.row : (here ?? stages[0]).row;
    const at = columns.find((entry) => entry.column === this.cursor?.column)
      ?? columns.find(({ position }) => position === store.shown.position) ?? columns[0];
    return { row, column: at.column };
  }

  /**
   * @param {any} lens @param {any} entry @param {any} place
   * @param {{row: number, column: number}} focus the cell that Tab reaches
   */
  cell(lens, { row }, { position, column }, focus) {
    const [guess] = lens.cells[row][column].guesses;
    const last = lens.cells[lens.cells.length - 1][column].guesses[0];
    const settled = guess.token_id === last.token_id;
    return html`<td role="gridcell" class=${settled ? 'settled' : ''}
      data-row=${row} data-column=${position}
      tabindex=${focus.row === row && focus.column === column ? 0 : -1}
      .style=${`--share:${guess.probability.toFixed(4)}`} title=${visible(guess.token)}
      aria-label="${spoken(guess.token)}, ${percent(guess.probability)}"
      .textContent=${`${visible(guess.token)}\n${percent(guess.probability)}`}></td>`;
  }

  /** @param {number} count */
  choices(count) {
    const [first] = this.view.lens.positions;
    const turn = (/** @type {number} */ to) => () => {
      this.page = to;
      this.wake();
    };
    return html`<div class="choices">
      ${count > BLOCK && !narrow.matches ? html`
        <span class="muted">${stretch('word', first, first + BLOCK, count)}</span>
        <button type="button" ?disabled=${first === 0}
          @click=${turn(first - BLOCK)}>Earlier words</button>
        <button type="button" ?disabled=${first + BLOCK >= count}
          @click=${turn(first + BLOCK)}>Later words</button>` : nothing}
      <label class="check"><input type="checkbox" .checked=${this.middles} @change=${() => {
        this.middles = !this.middles;
        this.requestUpdate();
      }}> also after attention</label></div>`;
  }

  /** The exact number of the cell that is looked at. @param {any} lens @param {any} read */
  reading(lens, read) {
    const { stages, columns } = this.grid;
    const { row, column } = this.focusCell(stages, columns);
    const position = lens.positions[column];
    const { guesses: [guess], actual } = lens.cells[row][column];
    const came = read.positions[position].actual;
    const stage = lens.stages[row];
    return html`<p class="reading">${nameOf(stage)}, ${quoted(read.positions[position].token)}:
      would say <b>${quoted(guess.token)}</b> with <nw-number .value=${guess.probability}
        .name=${`lens.${stage}[${position}]`}></nw-number>${came && actual !== null
        ? html`; the word that came, ${quoted(came.token)}, has
          <nw-number .value=${actual}></nw-number>` : nothing}.</p>`;
  }

  updated() {
    const grid = this.querySelector('#lens-grid');
    if (!grid) return;
    const { position, layer } = store.shown;
    for (const cell of grid.querySelectorAll('[data-column]')) {
      const { column, row } = /** @type {HTMLElement} */ (cell).dataset;
      cell.classList.toggle('here', Number(column) === position);
      if (row !== undefined) {
        const { layer: at } = placeOf(this.view.lens.stages[Number(row)]);
        cell.setAttribute('aria-selected', String(Number(column) === position && at === layer));
      }
    }
    this.dim();
  }

  /** Only what can influence the cell that is pointed at stays bright. */
  dim() {
    const { lens: { stages, positions }, windows } = this.view;
    const { cursor } = this;
    const to = cursor && { stage: stages[cursor.row], position: positions[cursor.column] };
    for (const cell of this.querySelectorAll('#lens-grid [data-column]')) {
      const { row, column } = /** @type {HTMLElement} */ (cell).dataset;
      const stage = row === undefined ? 'residual' : stages[Number(row)];
      const bright = !to || influences(windows, { stage, position: Number(column) }, to);
      cell.classList.toggle('dim', !bright);
    }
    const depth = to ? placeOf(to.stage).depth : null;
    this.dispatchEvent(new CustomEvent('nw-reach', { bubbles: true, detail: { depth } }));
  }

  /** @param {Event} event @returns {HTMLElement|null} */
  found({ target }) {
    return /** @type {HTMLElement} */ (target).closest('td[data-row]');
  }

  /** @param {HTMLElement} cell */
  select({ dataset }) {
    const { layer } = placeOf(this.view.lens.stages[Number(dataset.row)]);
    return { position: Number(dataset.column), ...(layer === null ? {} : { layer }) };
  }

  /** A preview of this cell's word and layer. @param {Event} event */
  point(event) {
    const cell = this.found(event);
    if (!cell) return;
    const column = this.view.lens.positions.indexOf(Number(cell.dataset.column));
    const row = Number(cell.dataset.row);
    if (this.cursor?.row === row && this.cursor.column === column) return;
    this.cursor = { row, column };
    store.hover(this.select(cell));
    this.requestUpdate();
  }

  leave() {
    this.cursor = null;
    store.hover(null);
    this.requestUpdate();
  }

  /** @param {Event} event */
  pick(event) {
    const cell = this.found(event);
    if (cell) store.select(this.select(cell));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const cell = /** @type {HTMLTableCellElement|null} */ (this.found(event));
    const line = /** @type {HTMLTableRowElement|null} */ (cell?.parentElement);
    if (!cell || !line) return;
    const body = /** @type {HTMLTableSectionElement} */ (line.parentElement);
    const [row, column] = [line.sectionRowIndex, cell.cellIndex];
    const to = {
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      Home: [row, 1],
      End: [row, line.cells.length - 1],
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') store.select(this.select(cell));
    else if (!to) return;
    else if (to[1] > 0) body.rows[to[0]]?.cells[to[1]]?.focus();
    event.preventDefault();
  }
}
customElements.define('nw-lens', NwLens);
