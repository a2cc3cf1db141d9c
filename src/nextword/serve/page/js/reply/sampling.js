// @ts-check
/** How the next word is chosen: the settings of a reply, as a folded form. */

import { html, LitElement, nothing } from '../../vendor/lit/index.js';

/**
 * @typedef {{temperature: number, top_k: number, top_p: number, min_p: number,
 *   seed: number|null}} Config
 * @typedef {{key: keyof Config, label: string, hint: string, min: number, max?: number,
 *   step: number, least?: boolean, whole?: boolean}} Setting
 *   `least`: the value must lie above `min`, not on it.
 */

/** @type {Config} The server's own defaults: always the most probable word. */
export const PLAIN = Object.freeze({ temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: null });

/** @type {Setting[]} In the order in which the rules are applied. */
const SETTINGS = [
  { key: 'temperature', label: 'Temperature', min: 0, step: 0.1,
    hint: '0 always takes the most probable word; higher is more daring' },
  { key: 'top_k', label: 'Top-k', min: 0, step: 1, whole: true,
    hint: 'keep only the k most probable words; 0 keeps all' },
  { key: 'top_p', label: 'Top-p', min: 0, max: 1, step: 0.05, least: true,
    hint: 'keep the fewest words that together reach this probability; 1 keeps all' },
  { key: 'min_p', label: 'Min-p', min: 0, max: 1, step: 0.01,
    hint: 'keep words with at least this share of the best one’s probability; 0 keeps all' },
  { key: 'seed', label: 'Seed', min: 0, step: 1, whole: true,
    hint: 'the same seed after the same words draws the same words; empty draws anew' },
];

/**
 * The value of a field, or what is wrong with it.
 * @param {Setting} setting @param {string} text
 * @returns {{value: number|null} | {problem: string}}
 */
function parse(setting, text) {
  if (text.trim() === '' && setting.key === 'seed') return { value: null };
  const value = text.trim() === '' ? NaN : Number(text);
  const low = setting.least ? value > setting.min : value >= setting.min;
  const high = setting.max === undefined || value <= setting.max;
  const whole = !setting.whole || Number.isSafeInteger(value);
  if (Number.isFinite(value) && low && high && whole) return { value };
  const range = setting.max === undefined ? `from ${setting.min} up`
    : setting.least ? `above ${setting.min} and at most ${setting.max}`
      : `from ${setting.min} to ${setting.max}`;
  return { problem: `${setting.label} must be a ${setting.whole ? 'whole ' : ''}number ${range}.` };
}

/**
 * The settings with one changed. A rule about chances means nothing at temperature 0, where nothing
 * is left to chance: choosing one makes the temperature 1, the model's own probabilities.
 * @param {Config} config @param {keyof Config} key @param {number|null} value @returns {Config}
 */
function changed(config, key, value) {
  const drawn = key === 'temperature' || config.temperature > 0;
  return { ...config, ...(drawn ? {} : { temperature: 1 }), [key]: value };
}

/** The settings in one line, for the folded panel. @param {Config} config */
function inWords(config) {
  if (config.temperature === 0) return 'always the most probable word';
  const rules = [`temperature ${config.temperature}`];
  if (config.top_k) rules.push(`top-k ${config.top_k}`);
  if (config.top_p < 1) rules.push(`top-p ${config.top_p}`);
  if (config.min_p) rules.push(`min-p ${config.min_p}`);
  if (config.seed !== null) rules.push(`seed ${config.seed}`);
  return `drawn by chance: ${rules.join(', ')}`;
}

/**
 * What the server is told for a step. With a seed each place of the reply draws with a seed of its
 * own, so that one word at a time is not always the same draw.
 * @param {Config} config @param {number} depth words of the reply so far
 */
export function configAt(config, depth) {
  return config.seed === null ? { ...config } : { ...config, seed: config.seed + depth };
}

/** The folded form; `nw-config {config}` when a setting has changed. */
export class NwSampling extends LitElement {
  static properties = { config: { attribute: false }, problem: { state: true } };

  constructor() {
    super();
    /** @type {Config} */
    this.config = PLAIN;
    /** @type {{key: string, text: string}|null} */
    this.problem = null;
  }

  createRenderRoot() {
    return this;
  }

  /** @param {Setting} setting @param {string} text */
  change(setting, text) {
    const result = parse(setting, text);
    if ('problem' in result) {
      this.problem = { key: setting.key, text: result.problem };
      return;
    }
    this.problem = null;
    const config = changed(this.config, setting.key, result.value);
    this.dispatchEvent(new CustomEvent('nw-config', { bubbles: true, detail: { config } }));
  }

  /** @param {Setting} setting */
  field(setting) {
    const { key, label, hint, min, max, step } = setting;
    const wrong = this.problem?.key === key;
    return html`<div class="setting">
      <label for="reply-${key}">${label}</label>
      <input id="reply-${key}" type="number"
        .min=${String(min)} .max=${max === undefined ? '' : String(max)}
        .step=${String(step)} .value=${this.config[key] === null ? '' : String(this.config[key])}
        aria-describedby="reply-${key}-hint" aria-invalid=${wrong ? 'true' : nothing}
        @change=${(/** @type {{target: HTMLInputElement}} */ { target }) =>
          this.change(setting, target.value)}>
      <p id="reply-${key}-hint" class=${wrong ? 'hint problem' : 'hint'}>
        ${wrong ? this.problem?.text : hint}</p>
    </div>`;
  }

  render() {
    return html`<details class="fold">
      <summary>How the next word is chosen:
        <span class="muted">${inWords(this.config)}</span></summary>
      <p class="hint">At temperature 0 nothing is left to chance; setting another rule makes it
        1.</p>
      <div class="settings">${SETTINGS.map((setting) => this.field(setting))}</div>
    </details>`;
  }
}
customElements.define('nw-sampling', NwSampling);
