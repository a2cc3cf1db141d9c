// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { plural } from '../numbers.js';
import { word } from '../tokens.js';
import '../elements/nw-number.js';

/** The same positions before and after the lesson, side by side; those not trained on below. */
export class NwTeachSides extends LitElement {
  static properties = { sentences: { attribute: false }, over: { attribute: false } };

  constructor() {
    super();
    /** @type {any[]} judged sentences, as in the lesson */
    this.sentences = [];
    /** whether the lesson has ended: until then there is no after */
    this.over = false;
  }

  createRenderRoot() { return this; }

  render() {
    let from = 0; // positions of all sentences are counted through
    const counted = this.sentences.map((sentence) => {
      const start = from;
      from += sentence.positions.length;
      return { sentence, start };
    });
    const taught = counted.filter(({ sentence }) => sentence.role === 'taught');
    const asked = counted.filter(({ sentence }) => sentence.role === 'phrasing');
    return html`<div id="teach-sides">
      ${taught.map(({ sentence, start }) => html`
        ${this.#table(sentence, start, 'The words that were taught')}${this.#replies(sentence)}`)}
      ${asked.length ? html`<h3 class="asked">Asked otherwise, not trained on</h3>
        ${asked.map((each) => this.#phrasing(each))}` : nothing}</div>`;
  }

  /** @param {{sentence: any, start: number}} each */
  #phrasing({ sentence, start }) {
    const { prompt, positions, right_before: before, right_after: after } = sentence;
    const right = positions.filter((/** @type {any} */ p) => p.after.right).length;
    return html`<details class="fold phrasing"><summary>“${prompt.join(' · ')}”
        <span class="muted">before</span> ${sign(before)}
        ${this.over ? html`<span class="muted">after</span> ${sign(after)}
          <span class="muted">${right} of ${plural(positions.length, 'word')}</span>` : nothing}
      </summary>
      ${this.#table(sentence, start, `The same words after “${prompt.join(' · ')}”`)}
      ${this.#replies(sentence)}</details>`;
  }

  /** @param {any} sentence @param {number} start @param {string} caption */
  #table({ positions }, start, caption) {
    return html`<table class="sides" role="table"><caption class="unseen">${caption}</caption>
      <thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">position</th>
        <th scope="col" role="columnheader">after</th>
        <th scope="col" role="columnheader">should follow</th>
        <th scope="col" role="columnheader">before the lesson</th>
        <th scope="col" role="columnheader">after the lesson</th></tr></thead>
      <tbody role="rowgroup">${positions.map(
        (/** @type {any} */ p, /** @type {number} */ i) => html`<tr role="row"><td role="cell" data-label="position">${p.position}</td>
          <td role="cell" data-label="after the word" class="word">${word(p.after_token)}</td>
          <th scope="row" role="rowheader" data-label="should follow"><span
            class="word">${word(p.token)}</span></th>
          ${side(p.before, `lesson.before[${start + i}].probability`, 'before')}
          ${this.over ? side(p.after, `lesson.after[${start + i}].probability`, 'after')
            : html`<td role="cell" class="side muted" data-label="after">…</td>`}</tr>`)}
      </tbody></table>`;
  }

  /** @param {any} sentence */
  #replies({ reply_before: before, reply_after: after }) {
    if (before === null || before === undefined) return nothing;
    return html`<dl class="replies"><div><dt>What it replied before</dt>
      <dd>${said(before)}</dd></div>
      <div><dt>What it replies after</dt><dd>${this.over ? said(after) : '…'}</dd></div></dl>`;
  }
}

/** @param {string | null} reply */
function said(reply) {
  return reply?.trim() ? reply : html`<span class="quiet">nothing</span>`;
}

/** @param {boolean} right */
function sign(right) {
  return right ? html`<span class="sign right" aria-hidden="true">✓</span><span
    class="unseen">right</span>` : html`<span class="sign wrong" aria-hidden="true">✗</span><span
    class="unseen">wrong</span>`;
}

/** One side of a position. @param {any} judged @param {string} name @param {string} when */
function side({ probability, predicted, right, rank }, name, when) {
  return html`<td role="cell" class="side" data-label=${when}
    .style=${`--share:${probability}`}>
    <span class="predicted">${sign(right)} <span class="word">${word(predicted)}</span></span>
    <span class="odds"><nw-number .value=${probability} .unit=${'percent'}
      .name=${name}></nw-number>${right ? nothing : html` <span class="muted">rank ${rank}</span>`}
    </span></td>`;
}

customElements.define('nw-teach-sides', NwTeachSides);
