// @ts-check
/**
 * The Teach tab: a correction, what it changed, what else changed, and the lessons kept. Before
 * the first lesson there is nothing yet that changed, and the others move up.
 */

import { html, nothing } from '../../vendor/lit/index.js';
import { formula, op, row, text, vector } from '../formula.js';
import { store } from '../store.js';
import { Watching } from '../watching.js';
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
const LOSS = row(text('sum of\u00a0'), op('−'), text('log\u00a0'), vector('p', 'right word'));
const KL = [op('+'), 'w', op('·'), vector('KL', row('before', op('‖'), 'now'))];
const EARLIER = [op('+'), text('the same of earlier lessons')];

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
    let number = 2; // what it learned comes in between once there is something to show
    return html`<div id="teach-panel" class="teach">
      <nw-panel .number=${1} .heading=${'Teach'} .sentence=${SENTENCE} .name=${'teaching'}>
        <div part="numbers">${this.#asking()}</div>
        <div part="formula">${this.#formula()}</div>
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

  #formula() {
    const { listing, config } = teaching.state;
    const earlier = listing?.items.some((/** @type {any} */ { status }) => status === 'kept');
    const all = (config.positions ?? listing?.settings.defaults.positions) === 'all';
    return html`${formula(text('loss'), op('='), LOSS, ...KL, ...(earlier ? EARLIER : []))}
      <p>The sum is over the words that are taught${all ? nothing : ' and are still wrong, or not '
        + 'yet likely enough'}. KL is how far the distributions over the next word have moved at
        words of the rehearsal, and w its weight.${earlier ? ` Of the lessons that are kept, a few
        at each step are held to in the same way.` : nothing}</p>`;
  }

  #asking() {
    const { phase, draft, config, status, steps, lesson, listing } = teaching.state;
    const curve = steps.length ? steps : lesson?.curve ?? [];
    return html`<nw-teach-form .correction=${store.state.correction} .draft=${draft}
        .kind=${store.state.card?.kind} .off=${phase === 'teaching'}></nw-teach-form>
      <nw-teach-settings .config=${config} .usual=${listing?.settings ?? null}></nw-teach-settings>
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
