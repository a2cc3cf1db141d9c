// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { shown } from '../numbers.js';
import { marked, quoted } from '../tokens.js';
import '../elements/nw-bars.js';

/** The account of the changed word: what spoke for it and not for the old one, before and after. */
export class NwTeachAccount extends LitElement {
  static properties = { account: { attribute: false } };

  constructor() {
    super();
    /** @type {any} */
    this.account = null;
  }

  createRenderRoot() { return this; }

  render() {
    const { account } = this;
    if (!account) return nothing;
    const { token, against, before, after, before_logit: was, after_logit: now } = account;
    const parts = [...before, ...after].map(({ amount }) => Math.abs(amount));
    const rests = [remaining(before, was), remaining(after, now)].map(Math.abs);
    const full = Math.max(1e-12, ...parts, ...rests);
    return html`<section id="teach-account" class="part" aria-label="The account, before and after">
      <h3>The account: why ${quoted(token)} and not ${quoted(against)}</h3>
      <div class="two">
        ${this.#side('Before the lesson', 'before', before, was, full)}
        ${this.#side('After the lesson', 'after', after, now, full)}</div>
      <p class="hint">A full bar is ${shown(full)}: right speaks for ${quoted(token)}, left for
        ${quoted(against)}. Direct contributions only: what a head wrote into the residual and a
        later layer read there is counted with the later layer.</p></section>`;
  }

  /**
   * @param {string} title @param {string} when @param {any[]} parts @param {number} sum
   * @param {number} full
   */
  #side(title, when, parts, sum, full) {
    const rows = [
      ...parts.map(({ name, label, amount }) => ({
        id: name, label: marked(label), value: amount,
        name: `lesson.account.${when}.${name}` })),
      { id: 'others', label: 'all others', value: remaining(parts, sum), muted: true },
      { id: 'total', label: 'sum = difference', value: sum,
        name: `lesson.account.${when}.total` },
    ];
    return html`<div class="account"><h4>${title}</h4>
      <nw-bars .rows=${rows} .signed=${true} .max=${full}
        .label=${`${title}: contributions`}></nw-bars></div>`;
  }
}

/** @param {any[]} parts @param {number} sum */
function remaining(parts, sum) {
  return sum - parts.reduce((total, { amount }) => total + amount, 0);
}

customElements.define('nw-teach-account', NwTeachAccount);
