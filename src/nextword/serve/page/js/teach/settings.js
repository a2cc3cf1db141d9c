// @ts-check
import { LitElement, html, nothing } from '../../vendor/lit/index.js';
import { plural } from '../numbers.js';
import { teaching } from './teaching.js';

/**
 * @typedef {{key: string, id: string, label: string, hint: string, min: number, max?: number,
 *   whole?: boolean, above?: boolean}} Setting `above`: more than `min`
 * @typedef {{defaults: Record<string, any>, rates: Record<string, number>,
 *   rules: Record<string, string[]>}} Usual what holds where nothing is chosen; from the server
 */

/** @type {Setting[]} */
const SETTINGS = [
  { key: 'learning_rate', id: 'rate', label: 'Learning rate', min: 0, hint: 'how far a step goes' },
  { key: 'margin', id: 'margin', label: 'Margin', min: 0, max: 1,
    hint: 'the probability that each word must reach, besides being the most likely' },
  { key: 'steps', id: 'steps', label: 'Steps at most', min: 1, whole: true,
    hint: 'then it has not learned it' },
  { key: 'seconds', id: 'seconds', label: 'Seconds at most', min: 0, above: true,
    hint: 'then it has not learned it' },
  { key: 'largest_kl', id: 'kl', label: 'Largest move (KL)', min: 0, above: true,
    hint: 'nats per word by which what it knew may move' },
];
const CHOICES = [
  { key: 'scope', id: 'scope', label: 'Scope', hint: 'which weights may change', options: [
    ['all', 'all weights'], ['last', 'the last layers'], ['adapter', 'a low-rank adapter']] },
  { key: 'positions', id: 'positions', label: 'Words trained on', hint: 'at each step',
    options: [['wrong', 'those still wrong'], ['all', 'all of them']] },
];
const RULES = /** @type {Record<string, string>} */ ({
  momentum: 'gradient descent with momentum', muon: 'Muon and AdamW', adam: 'AdamW',
});

/** What is wrong with the text of a field; '' if nothing is. @param {Setting} setting */
function problem({ label, min, max, whole, above }, /** @type {string} */ text) {
  const value = Number(text);
  const fits = Number.isFinite(value) && (above ? value > min : value >= min)
    && (max === undefined || value < max) && (!whole || Number.isSafeInteger(value));
  if (fits) return '';
  const range = `${above ? 'above' : 'from'} ${min}${max === undefined ? '' : ` and below ${max}`}`;
  return `${label} must be a ${whole ? 'whole ' : ''}number ${range}.`;
}

/** The folded settings of a lesson; an empty field is the default. */
export class NwTeachSettings extends LitElement {
  static properties = {
    config: { attribute: false }, usual: { attribute: false }, wrong: { state: true },
  };

  constructor() {
    super();
    /** @type {Record<string, number | string>} */
    this.config = {};
    /** @type {Usual | null} */
    this.usual = null;
    /** @type {Record<string, string>} */
    this.wrong = {};
  }

  createRenderRoot() { return this; }

  render() {
    const changed = Object.keys(this.config).length;
    const rules = (this.usual?.rules[this.#scope()] ?? []).map((rule) => RULES[rule] ?? rule);
    return html`<details class="fold" id="teach-settings"><summary>How it is taught:
        <span class="muted">${rules.length ? `${rules[0]}, ` : nothing}${changed
          ? plural(changed, 'setting changed', 'settings changed') : 'with the defaults'}
        </span></summary>
      <p class="hint" id="teach-optimizer">${rules.length ? `Optimizer: ${
        rules.join('; where that fails, ')}. ` : nothing}What stands in grey, and the first of a
        choice, is the default.</p>
      <div class="settings">
        ${CHOICES.map((choice) => this.#choice(choice))}
        ${SETTINGS.map((setting) => this.#field(setting))}</div></details>`;
  }

  #scope() { return String(this.config.scope ?? this.usual?.defaults.scope); }

  /** What holds while a field is empty. @param {string} key */
  #otherwise(key) {
    if (!this.usual) return '';
    const { defaults, rates } = this.usual;
    return String(key === 'learning_rate' ? defaults[key] || rates[this.#scope()] : defaults[key]);
  }

  /** @param {string} key @param {number | string | null} value null: the default */
  #change(key, value) {
    const { [key]: _, ...rest } = teaching.state.config; // this.config may be a frame old
    teaching.set({ config: value === null ? rest : { ...rest, [key]: value } });
  }

  /** @param {typeof CHOICES[number]} choice */
  #choice({ key, id, label, hint, options }) {
    const usual = options.find(([value]) => value === this.#otherwise(key));
    return html`<div class="setting"><label for="teach-${id}">${label}</label>
      <select id="teach-${id}" aria-describedby="teach-${id}-hint"
        @change=${(/** @type {{target: HTMLSelectElement}} */ { target }) =>
          this.#change(key, target.value || null)}>
        <option value="" .selected=${!this.config[key]}>${usual?.[1] ?? ''}</option>
        ${options.filter((option) => option !== usual).map(([value, name]) => html`<option 
          value=${value} .selected=${value === this.config[key]}>${name}</option>`)}
      </select><p class="hint" id="teach-${id}-hint">${hint}</p></div>`;
  }

  /** @param {Setting} setting */
  #field(setting) {
    const { key, id, label, hint } = setting;
    const wrong = this.wrong[key];
    return html`<div class="setting"><label for="teach-${id}">${label}</label>
      <input id="teach-${id}" type="text" inputmode="decimal" placeholder=${this.#otherwise(key)}
        .value=${String(this.config[key] ?? '')} aria-describedby="teach-${id}-hint"
        aria-invalid=${wrong ? 'true' : nothing}
        @change=${(/** @type {{target: HTMLInputElement}} */ { target }) => {
          const text = target.value.trim().replace(',', '.');
          const trouble = text && problem(setting, text);
          this.wrong = { ...this.wrong, [key]: trouble };
          if (!trouble) this.#change(key, text ? Number(text) : null);
        }}>
      <p class=${wrong ? 'hint problem' : 'hint'} id="teach-${id}-hint">${wrong || hint}</p></div>`;
  }
}
customElements.define('nw-teach-settings', NwTeachSettings);
