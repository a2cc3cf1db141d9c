// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { counted, plural } from '../numbers.js';
import { word } from '../tokens.js';
import '../elements/nw-number.js';

/** What a lesson measured: whether it holds, carries over, and what it left as it was. */
export class NwTeachReport extends LitElement {
  static properties = { lesson: { attribute: false } };

  constructor() {
    super();
    /** @type {any} */
    this.lesson = null;
  }

  createRenderRoot() { return this; }

  render() {
    const { lesson } = this;
    if (!lesson) return nothing;
    return html`${this.#replies()}${this.#measures()}${this.#effort()}${this.#wrong()}
      ${this.#changes()}`;
  }

  #replies() {
    const { sentences, reply_reliability: taught, reply_generality: asked,
      known_replies: known, held_out_replies: held } = this.lesson;
    if (![taught, asked, known, held].some((found) => found !== null && found !== undefined)) {
      return nothing;
    }
    const given = (/** @type {string} */ role) => {
      const found = sentences.filter((/** @type {any} */ s) => s.role === role
        && s.exact_after !== null);
      return found.length ? `${found.filter((/** @type {any} */ s) => s.exact_after).length} of ${
        plural(found.length, 'reply', 'replies')} as taught` : 'none are there';
    };
    return html`<h3>Whole replies, generated</h3><dl id="teach-replies" class="measures">
      ${measure('Reliability', 'lesson.reply_reliability', taught ?? null, given('taught'))}
      ${measure('Generality', 'lesson.reply_generality', asked ?? null, given('phrasing'))}
      ${measure('Known replies unchanged', 'lesson.known_replies.share', known?.share ?? null,
        unchanged(known))}
      ${measure('Held-out replies unchanged', 'lesson.held_out_replies.share',
        held?.share ?? null, unchanged(held))}</dl>${this.#changed()}
      <h3>Next words, after the right words before each</h3>`;
  }

  #changed() {
    const { changed_replies: changed, n_changed_replies: count } = this.lesson;
    if (!count) return nothing;
    return html`<details class="fold part" id="teach-changed" open>
      <summary>${plural(count, 'reply', 'replies')} elsewhere changed</summary>
      <ul role="list">${changed.map((/** @type {any} */ { prompt, before, after, set }) => html`<li>
        <span class="context">${prompt}</span> <del>${before}</del> → <ins>${after}</ins>
        <span class="badge">${set === 'known' ? 'known' : 'held out'}</span></li>`)}</ul>
      ${count > changed.length ? html`<p class="muted">and ${count - changed.length} more</p>`
        : nothing}</details>`;
  }

  #measures() {
    const { sentences, reliability, generality, known, held_out: held } = this.lesson;
    const [taught, asked] = ['taught', 'phrasing'].map((role) => tally(sentences, role));
    return html`<dl id="teach-measures" class="measures">
      ${measure('Reliability', 'lesson.reliability', reliability,
        `${taught.right} of ${plural(taught.all, 'taught word')} now the most likely`)}
      ${measure('Generality', 'lesson.generality', generality, generality === null
        ? 'no other ways to ask were given'
        : `${asked.right} of ${plural(asked.all, 'word')} when asked otherwise`)}
      ${measure('Known words kept', 'lesson.known.share', share(known), kept(known))}
      ${measure('Held-out words kept', 'lesson.held_out.share', share(held), kept(held))}</dl>`;
  }

  #effort() {
    const { loss_before: before, loss_after: after, steps, seconds, judging_seconds: judging,
      rehearsal, n_contradicted: against } = this.lesson;
    return html`<p class="note">Loss <nw-number .value=${before} .name=${'lesson.loss_before'}>
      </nw-number> → <nw-number .value=${after} .name=${'lesson.loss_after'}></nw-number> nats in
      ${plural(steps, 'step')}, <nw-number .value=${seconds} .digits=${1}
        .name=${'lesson.seconds'}></nw-number> s, and <nw-number .value=${judging} .digits=${1}
        .name=${'lesson.judging_seconds'}></nw-number> s of judging. Judged on ${rehearsal}.
      ${against ? html`${plural(against, 'next word')} of it contradicted the lesson and
        ${against === 1 ? 'was' : 'were'} left out.` : nothing}</p>`;
  }

  #wrong() {
    const { newly_wrong: wrong, n_newly_wrong: count } = this.lesson;
    return html`<div class="part"><h3>Newly wrong: ${counted(count)}</h3>
      ${count ? html`<ul id="teach-wrong" tabindex="0" role="list"
        aria-label="Newly wrong">${wrong.map((/** @type {any} */ each) => newly(each))}</ul>
        ${count > wrong.length ? html`<p class="muted">and ${count - wrong.length} more</p>`
          : nothing}`
        : html`<p id="teach-wrong" class="muted">No known or held-out next word that was right is
          wrong now.</p>`}</div>`;
  }

  #changes() {
    const { changes } = this.lesson;
    if (!changes.length) return nothing;
    return html`<details class="fold part" id="teach-changes">
      <summary>How far each matrix moved <span class="muted">${plural(changes.length, 'matrix',
        'matrices')}</span></summary>
      <div class="scroller" tabindex="0" role="region" aria-label="How far each matrix moved">
      <table class="plain"><thead><tr><th scope="col">weights</th><th scope="col">length of the
        change</th><th scope="col">of its length before</th>
        <th scope="col">largest</th></tr></thead>
        <tbody>${changes.map((/** @type {any} */ { name, norm, relative, largest }) => html`<tr>
          <th scope="row" class="code">${name}</th>
          <td><nw-number .value=${norm} .name=${`lesson.change.${name}.norm`}></nw-number></td>
          <td><nw-number .value=${relative} .unit=${'percent'}
            .name=${`lesson.change.${name}.relative`}></nw-number></td>
          <td><nw-number .value=${largest} .digits=${5}
            .name=${`lesson.change.${name}.largest`}></nw-number></td></tr>`)}</tbody></table></div>
    </details>`;
  }
}

/** @param {any[]} sentences @param {string} role */
function tally(sentences, role) {
  const positions = sentences.filter((s) => s.role === role).flatMap((s) => s.positions);
  return { all: positions.length, right: positions.filter((p) => p.after.right).length };
}

/** @param {any} locality @returns {number | null} */
function share(locality) {
  if (!locality) return null;
  return locality.n ? locality.kept / locality.n : 1;
}

/** @param {any} locality */
function kept(locality) {
  if (!locality) return 'none are there';
  return html`${counted(locality.kept)} of ${counted(locality.n)} next words; moved by
    <nw-number .value=${locality.kl}></nw-number> nats`;
}

/** @param {any} found */
function unchanged(found) {
  if (!found) return 'none are there';
  return `${counted(found.unchanged)} of ${plural(found.n, 'reply', 'replies')}${found.n < found.of
    ? `, a seeded sample of ${counted(found.of)}` : ''}`;
}

/** @param {string} title @param {string} name @param {number | null} value @param {unknown} told */
function measure(title, name, value, told) {
  return html`<div class="measure"><dt>${title}</dt>
    <dd class="value">${value === null ? html`<span class="muted">–</span>`
      : html`<nw-number .value=${value} .unit=${'percent'} .name=${name}></nw-number>`}</dd>
    <dd class="told-of muted">${told}</dd></div>`;
}

/** @param {any} each */
function newly({ context, was, now, actual, set, probability_was: before,
  probability_now: after }) {
  return html`<li><span class="context">… ${context.trim()}</span>
    <span class="said"><span class="sign right" aria-hidden="true">✓</span>
      <span class="unseen">was</span> ${word(was)} <nw-number .value=${before} .unit=${'percent'}>
      </nw-number></span> <span class="muted" aria-hidden="true">→</span>
    <span class="said"><span class="sign wrong" aria-hidden="true">✗</span> <span
      class="unseen">now</span> <span class="newly-wrong">${word(now)}</span> <nw-number
      .value=${after} .unit=${'percent'}></nw-number></span>
    ${actual && actual !== was ? html`<span class="muted">what came: ${word(actual)}</span>`
      : nothing}
    <span class="badge">${set === 'known' ? 'known' : 'held out'}</span></li>`;
}

customElements.define('nw-teach-report', NwTeachReport);
