// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { percent } from '../numbers.js';
import { quoted, word } from '../tokens.js';
import { teaching } from './teaching.js';

/** The lessons that are kept in the model's folder, and how to take them back. */
export class NwLessons extends LitElement {
  static properties = {
    listing: { attribute: false }, gone: { attribute: false }, busy: { attribute: false },
  };

  constructor() {
    super();
    /** @type {any} */
    this.listing = null;
    /** @type {any[]} what no longer holds, after an undo */
    this.gone = [];
    this.busy = false;
  }

  createRenderRoot() { return this; }

  render() {
    const { listing } = this;
    if (!listing) return nothing;
    const kept = listing.items.filter((/** @type {any} */ { status }) => status === 'kept');
    return html`<div id="teach-lessons">
      ${listing.changed ? html`<p class="notice">The model in the folder was changed by another
        program. <button type="button" id="reload" @click=${() => teaching.reload()}>Load it
        again</button></p>` : nothing}
      ${listing.items.length ? this.#table(listing.items) : html`<p class="muted">${listing.folder
        ? 'No lesson is kept yet.' : 'This model has no folder, so no lesson can be kept in one.'}
        </p>`}
      ${kept.length ? html`<p class="after-table"><button type="button" id="undo-all"
        aria-disabled=${this.busy} @click=${() => this.#undo(null)}>Undo all${kept.length > 1
          ? ` ${kept.length} lessons` : nothing}</button></p>` : nothing}
      ${this.gone.length ? this.#gone() : nothing}</div>`;
  }

  /** @param {any[]} items */
  #table(items) {
    return html`<table class="lessons" role="table"><caption class="unseen">Lessons</caption>
      <thead role="rowgroup"><tr role="row">${['no.', 'taught', 'reliability', 'generality',
        'locality', 'seconds', ''].map((name) => (name ? html`<th scope="col"
          role="columnheader">${name}</th>` : html`<td role="cell"></td>`))}</tr></thead>
      <tbody role="rowgroup">${items.map((item) => this.#row(item))}</tbody></table>`;
  }

  /** @param {any} item */
  #row({ number, time, prompt, reply, seconds, status, ...measured }) {
    const last = prompt[prompt.length - 1];
    const cell = (/** @type {string} */ name, /** @type {unknown} */ value) => html`<td role="cell"
      data-label=${name} class="figure">${value}</td>`;
    const share = (/** @type {string} */ name) => {
      const [replies, words] = [measured[`reply_${name}`] ?? null, measured[name] ?? null];
      if (replies !== null) return percent(replies);
      return words === null ? html`<span class="muted">–</span>` : html`<span
        title="of next words; no whole replies were compared">(${percent(words)})</span>`;
    };
    return html`<tr role="row" class=${status} data-lesson=${number}>
      <th scope="row" role="rowheader" data-label="lesson">${number}</th>
      <td role="cell" class="taught" data-label="taught"><span>${last ? html`“${last.trim()}” → `
        : html`<span class="muted">one word:</span> `}<strong>${last
          ? reply.trim() : word(reply)}</strong></span>
        <time class="muted" datetime=${time}>${when(time)}</time></td>
      ${cell('reliability', share('reliability'))}${cell('generality', share('generality'))}
      ${cell('locality', share('locality'))}${cell('seconds', seconds?.toFixed(1))}
      <td role="cell" class="do">${status === 'kept' ? html`<button type="button"
        id="undo-${number}" class="small" aria-label="Undo lesson ${number}"
        aria-disabled=${this.busy} @click=${() => this.#undo([number])}>Undo</button>`
        : html`<span class="badge">${status}</span>`}</td></tr>`;
  }

  #gone() {
    return html`<div class="part" id="no-longer"><h3>What no longer holds</h3>
      <ul>${this.gone.map(({ number, prompt, token, was, now, now_predicted: instead }) => html`
        <li>Lesson ${number}${prompt?.length ? html`, after
          “${prompt[prompt.length - 1].trim()}”`
          : nothing}: <strong class="newly-wrong">${word(token)}</strong>
          ${percent(was)} → ${percent(now)}; it now says ${quoted(instead)}.</li>`)}</ul></div>`;
  }

  /** @param {number[] | null} numbers */
  #undo(numbers) {
    if (!this.busy) teaching.undoKept(numbers);
  }
}

/** A time as people write it. @param {string} time */
function when(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? time : date.toLocaleString(undefined,
    { dateStyle: 'medium', timeStyle: 'short' });
}

customElements.define('nw-lessons', NwLessons);
