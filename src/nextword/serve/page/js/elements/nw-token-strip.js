// @ts-check
import { html, nothing } from '../../vendor/lit/index.js';
import { stretch } from '../numbers.js';
import { store } from '../store.js';
import { word } from '../tokens.js';
import { Watching } from '../watching.js';

const MANY = 200; // words that are drawn at a time
const SIGNS = { right: '✓', top5: '✗', wrong: '✗', open: '' };

/** @typedef {'right' | 'top5' | 'wrong' | 'open'} Verdict */

/** @param {any} position @returns {Verdict} */
function verdict(position) {
  if (position.actual === null) return 'open';
  if (position.right) return 'right';
  return position.in_top5 ? 'top5' : 'wrong';
}

/** The sentence as chips: a listbox with one tab stop; arrows preview, Enter locks. */
export class NwTokenStrip extends Watching {
  static keys = ['read', 'position', 'hover'];

  render() {
    const { read } = store.shown;
    const at = store.shown.position ?? 0;
    const count = read.positions.length;
    const first = count <= MANY ? 0 : Math.max(0, Math.min(count - MANY, at - MANY / 2));
    const many = count > MANY;
    return html`
      ${many ? html`<p class="muted">Here are ${stretch('word', first, first + MANY, count)}.
        Arrow keys, Home and End reach all.</p>` : nothing}
      <div id="strip" class="strip ${many ? 'many' : ''}" role="listbox" tabindex="0"
        aria-label="The sentence, word by word" aria-activedescendant="word-${at}"
        @keydown=${this.#key} @focusout=${() => store.hover(null)}
        @pointerleave=${() => store.hover(null)}>
        ${read.positions.slice(first, first + MANY).map(
          (/** @type {any} */ p) => this.#chip(p, many))}
      </div>`;
  }

  /** @param {any} p @param {boolean} small */
  #chip(p, small) {
    const kind = verdict(p);
    const { position } = store.state;
    const looked = store.shown.position === p.position;
    return html`<div role="option" id="word-${p.position}" class="chip ${looked ? 'shown' : ''}"
      data-position=${p.position} data-verdict=${kind}
      aria-selected=${String(position === p.position)}
      @pointerenter=${() => store.hover({ position: p.position })}
      @click=${() => store.select({ position: p.position })}>
      <span class="word">${word(p.token)}</span><span class="unseen">, position ${p.position}</span>
      ${small ? this.#brief(kind) : html`
        <span class="says"><span class="unseen">; predicted next:</span>
          <span class="muted" aria-hidden="true">→</span>
          <span class="guess">${word(p.predicted.token)}</span>
          <nw-number .value=${p.predicted.probability} .unit=${'percent'}
            .name=${`probabilities[${p.position},${p.predicted.token_id}]`}></nw-number></span>
        <span class="verdict"><span class="unseen">;</span> ${this.#verdict(p, kind)}</span>`}
    </div>`;
  }

  /** In a long sentence a sign must do. @param {Verdict} kind */
  #brief(kind) {
    if (kind === 'open') return nothing;
    return kind === 'right' ? html`<span class="sign" aria-hidden="true">✓</span><span
      class="unseen">, right</span>` : html`<span class="unseen">, wrong</span>`;
  }

  /** @param {any} p @param {Verdict} kind */
  #verdict(p, kind) {
    if (kind === 'open') return 'no answer yet';
    const rank = kind === 'right' ? html`right` : html`rank <nw-number .value=${p.rank}
      .unit=${'count'} .name=${`read.rank[${p.position}]`}></nw-number>`;
    return html`<span class="sign" aria-hidden="true">${SIGNS[kind]}</span>
      ${kind === 'right' ? nothing : html`<span class="unseen">wrong; what came:</span>`}
      <nw-number .value=${p.actual.probability} .unit=${'percent'}
        .name=${`read.probability[${p.position}]`}></nw-number> ${rank}${kind === 'top5'
        ? html`<span class="badge">top 5</span>` : nothing}`;
  }

  updated() {
    const strip = this.querySelector('#strip');
    const chip = this.querySelector('.chip.shown');
    if (!(strip instanceof HTMLElement) || !(chip instanceof HTMLElement)) return;
    if (!strip.classList.contains('many') && document.activeElement !== strip) return;
    const [top, bottom] = [strip.scrollTop, strip.scrollTop + strip.clientHeight];
    const place = chip.offsetTop - strip.offsetTop;
    if (place < top || place + chip.offsetHeight > bottom) strip.scrollTop = place - 40;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const last = store.state.read.positions.length - 1;
    const at = store.shown.position ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      store.select({ position: at });
    } else if (to !== undefined) {
      event.preventDefault();
      store.hover({ position: Math.min(last, Math.max(0, to)) });
    }
  }
}

customElements.define('nw-token-strip', NwTokenStrip);
