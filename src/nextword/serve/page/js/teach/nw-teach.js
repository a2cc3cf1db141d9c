// @ts-check
/**
 * Panels 7 to 10: a correction, what it changed, what else changed, and the lessons kept. Before
 * the first lesson there is nothing yet that changed, and the others move up.
 */

import { html, nothing } from '../../vendor/lit/index.js';
import { formula, op, row, text, vector } from '../formula.js';
import { store, Watching } from '../store.js';
import '../elements/nw-panel.js';
import './account.js';
import './chart.js';
import './form.js';
import './lessons.js';
import './others.js';
import './report.js';
import './settings.js';
import './sides.js';
import { teaching } from './teaching.js';

const SENTENCE = 'What if it predicted the next word wrong? The optimizer is run on just the '
  + 'wrong positions until they are right, and what else it knows is watched.';
const LEARNED = /** @type {Record<import('./teaching.js').Phase, string>} */ ({
  idle: 'The same positions, before and after.',
  teaching: 'What it says before the lesson; the other side comes with its end.',
  unkept: 'The same positions before and after. The model answers so now; keep it, or undo it.',
  kept: 'The same positions before and after. The lesson is kept in the model’s folder.',
  undone: 'The lesson is undone; this is what it had changed.',
  failed: 'It was not learned, and the weights are as they were; this is how far it came.',
});
const FORMULA = formula(
  text('loss'), op('='),
  row(text('mean of\u00a0'), op('−'), text('log\u00a0'), vector('p', 'right word')),
  op('+'), 'w', op('·'), vector('KL', row('before', op('‖'), 'now')),
);

/** @param {boolean} off @param {() => void} act */
const unless = (off, act) => (/** @type {Event} */ event) => (off ? event.preventDefault() : act());

export class NwTeach extends Watching {
  static keys = ['card', 'correction'];

  #leaving = () => {};

  connectedCallback() {
    super.connectedCallback();
    this.#leaving = teaching.subscribe(() => this.requestUpdate());
    teaching.open();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#leaving();
  }

  willUpdate() { teaching.adopt(store.state.correction); }

  render() {
    const { started, lesson, listing, noLonger, phase, others } = teaching.state;
    const sentences = lesson?.sentences ?? started?.sentences;
    let number = 8; // what it learned comes in between once there is something to show
    return html`<div id="teach-panel" class="teach">
      <nw-panel .number=${7} .heading=${'Teach'} .sentence=${SENTENCE} .name=${'teaching'}>
        <div part="numbers">${this.#asking()}</div>
        <div part="formula">${FORMULA}<p>The first mean is over the words that are taught; by
          choice only over those still wrong. KL is how far the distributions over the next word
          have moved at words of the rehearsal, and w its weight.</p></div>
      </nw-panel>
      ${sentences ? html`<nw-panel .number=${number++} .heading=${'What it learned'}
        .sentence=${LEARNED[phase]} .name=${'learned'}><div part="numbers">
          <nw-teach-sides .sentences=${sentences} .over=${Boolean(lesson)}></nw-teach-sides>
          <nw-teach-account .account=${lesson?.account ?? null}></nw-teach-account></div>
      </nw-panel>` : nothing}
      <nw-panel .number=${number++} .name=${'else'}
        .heading=${lesson ? 'What else changed' : 'What must stay as it is'}
        .sentence=${'A lesson must leave the rest as it was: other next words are compared before '
          + 'and after it.'}><div part="numbers">
          <nw-teach-report .lesson=${lesson}></nw-teach-report>
          <nw-teach-others .others=${others}></nw-teach-others></div>
      </nw-panel>
      <nw-panel .number=${number} .heading=${'Lessons'} .name=${'kept-lessons'}
        .sentence=${'Lessons that are kept can be taken back, each by itself: the later ones are '
          + 'then applied again.'}><div part="numbers">
          <nw-lessons .listing=${listing} .gone=${noLonger} .busy=${phase === 'unkept'
            || phase === 'teaching'}></nw-lessons></div>
      </nw-panel></div>`;
  }

  #asking() {
    const { phase, draft, config, status, steps, lesson } = teaching.state;
    const curve = steps.length ? steps : lesson?.curve ?? [];
    return html`<nw-teach-form .correction=${store.state.correction} .draft=${draft}
        .kind=${store.state.card?.kind} .off=${phase === 'teaching'}></nw-teach-form>
      <nw-teach-settings .config=${config}></nw-teach-settings>
      ${this.#buttons()}
      <p id="teach-status" role="status" class=${phase}>${status}</p>
      ${this.#error()}
      <nw-teach-chart .steps=${curve} .margin=${teaching.marginOf()} .over=${phase !== 'teaching'}>
      </nw-teach-chart>`;
  }

  #buttons() {
    const { phase, stopping, elsewhere, listing, lesson } = teaching.state;
    const open = phase === 'unkept';
    const [busy, folder] = [phase === 'teaching' || elsewhere, listing?.folder ?? true];
    const kept = phase === 'kept' && lesson?.number !== null;
    const button = (/** @type {string} */ id, /** @type {string} */ name,
      /** @type {boolean} */ off, /** @type {() => void} */ act, first = false) => html`<button
        type="button" id="teach-${id}" class=${first ? 'primary' : ''} aria-disabled=${off}
        @click=${unless(off, act)}>${name}</button>`;
    return html`<div class="controls">
      ${button('start', 'Teach', busy || open, teaching.start, !busy && !open)}
      ${button('stop', stopping ? 'Stopping …' : 'Stop', !busy || stopping, teaching.stop, busy)}
      ${button('keep', 'Keep', !open || !folder, teaching.keep, open && folder)}
      ${button('undo', 'Undo', !open && !kept, teaching.undo, open && !folder)}
      ${elsewhere ? html`<span class="muted">A lesson is under way in another window.</span>`
        : open && !folder ? html`<span class="muted">This model has no folder to keep it in; the
          lesson lasts until the server ends.</span>` : nothing}</div>`;
  }

  #error() {
    const { error } = teaching.state;
    if (!error) return nothing;
    return html`<div id="teach-error" role="alert"><span>${error.message}</span>
      ${error.code === 'lesson_open' ? html`<span class="buttons">
        <button type="button" @click=${teaching.keep}>Keep it</button>
        <button type="button" @click=${teaching.undo}>Undo it</button></span>` : nothing}
      ${error.code === 'folder_changed' ? html`<button type="button"
        @click=${teaching.reload}>Load it again</button>` : nothing}</div>`;
  }
}
customElements.define('nw-teach', NwTeach);
