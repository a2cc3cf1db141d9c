// @ts-check
/** One function for each route. Answers are cached by the weights' version; stale calls abort. */

import { provider, ApiError } from './provider.js';
import { readTensors } from './tensors.js';

export { ApiError };

/** @typedef {{slot?: string}} Slot */

const OLD = 'The weights have changed since this was read; read it anew to see this part.';
const LIMIT = 48 * 2 ** 20; // bytes of answers that are kept
const cache = /** @type {Map<string, {answer: any, bytes: number}>} */ (new Map());
const open = new Map();
const slots = /** @type {Map<string, AbortController>} */ (new Map());
let held = 0;
let version = '';
let heads = 0;
let looked = ''; // the weights of what is being looked at
let told = (/** @type {string} */ _) => {};

/**
 * @param {string} key
 * @param {any} answer
 * @param {number} bytes
 */
function keep(key, answer, bytes) {
  cache.set(key, { answer, bytes });
  held += bytes;
  for (const [oldest, entry] of cache) {
    if (held <= LIMIT || oldest === key) return;
    cache.delete(oldest);
    held -= entry.bytes;
  }
}

/** @param {string} seen */
function noted(seen) {
  if (!seen || seen === version) return;
  version = seen;
  told(seen);
}

/**
 * @param {string} route
 * @param {any} body
 * @param {AbortSignal} signal
 */
async function send(route, body, signal) {
  const answer = await provider.send(route, body, { signal });
  noted(answer.version || answer.json?.version);
  const key = keyOf(route, body);
  if (answer.bytes) {
    const tensors = readTensors(answer.bytes);
    keep(key, tensors, tensors.bytes);
    return tensors;
  }
  if (route !== '/api/model') keep(key, answer.json, 2 * JSON.stringify(answer.json).length);
  return answer.json;
}

/**
 * @param {string} route
 * @param {any} body
 */
function keyOf(route, body) {
  return `${body?.version ?? version} ${route} ${JSON.stringify(body)}`;
}

/**
 * Ask about what is being looked at: always of its own weights, so that old and new never mix.
 * @param {string} route @param {any} body @param {Slot} [options]
 */
function see(route, body, options) {
  return ask(`/api/see/${route}`, { ...body, version: looked || version }, options);
}

/**
 * Do something: never cached, never shared with another caller.
 * @param {string} route @param {any} body
 * @returns {Promise<any>}
 */
async function act(route, body) {
  const { version: seen, json } = await provider.send(route, body);
  noted(seen || json.version);
  return json;
}

/**
 * Ask; a new call in the same slot rejects the old one with an AbortError.
 * @param {string} route
 * @param {any} body
 * @param {Slot} [options]
 * @returns {Promise<any>}
 */
function ask(route, body, { slot } = {}) {
  const caller = new AbortController();
  if (slot) {
    slots.get(slot)?.abort();
    slots.set(slot, caller);
  }
  const key = keyOf(route, body);
  const hit = cache.get(key);
  if (!hit && body?.version && body.version !== version) {
    return Promise.reject(new ApiError(OLD, { code: 'version_changed' }));
  }
  if (!hit) return joined(key, route, body, caller.signal);
  cache.delete(key); // and back to the end: the oldest leaves first
  cache.set(key, hit);
  return Promise.resolve(hit.answer);
}

/**
 * Wait for a call that may be shared; it is aborted when its last waiter leaves.
 * @param {string} key
 * @param {string} route
 * @param {any} body
 * @param {AbortSignal} signal
 */
function joined(key, route, body, signal) {
  let call = open.get(key);
  const forget = () => open.get(key) === call && open.delete(key);
  if (!call) {
    const controller = new AbortController();
    call = { controller, waiters: 0, promise: send(route, body, controller.signal) };
    open.set(key, call);
    call.promise.then(forget, forget);
  }
  call.waiters += 1;
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new DOMException('a newer question took its place', 'AbortError'));
      call.waiters -= 1;
      if (call.waiters === 0 && forget()) call.controller.abort();
    }, { once: true });
    call.promise.then(resolve, reject);
  });
}

/**
 * The neighbours of a head, when nothing else is to do: the next look is often there.
 * @param {number[]} ids
 * @param {number} layer
 * @param {number} head
 */
function fetchNeighbours(ids, layer, head) {
  if (provider.recorded || !window.requestIdleCallback) return;
  window.requestIdleCallback(() => {
    for (const near of [head - 1, head + 1]) {
      if (near < 0 || near >= heads) continue;
      see('past', { ids, layer, head: near }).catch(() => {});
    }
  });
}

/** @param {ReadableStream<Uint8Array>} stream */
async function* lines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const whole = rest.split('\n');
    rest = whole.pop() ?? '';
    for (const line of whole) if (line.trim()) yield JSON.parse(line);
    if (done) break;
  }
  if (rest.trim()) yield JSON.parse(rest);
}

export const api = {
  get version() { return version; },
  get recorded() { return provider.recorded; },
  /** @param {(version: string) => void} listener told whenever an answer has another version */
  onversion(listener) { told = listener; },
  /** @param {string} seen the version of the weights that all further questions are about */
  look(seen) { looked = seen; },
  async model() {
    const card = await ask('/api/model', null);
    heads = card.n_heads;
    return card;
  },
  /** @param {string[]} turns @param {string} mode @param {Slot} [o] */
  readText: (turns, mode, o) => ask('/api/read', { turns, mode }, o),
  /** @param {number[]} ids @param {Slot} [o] */
  readIds: (ids, o) => ask('/api/read', { ids }, o),
  /** @param {number[]} ids @param {number} position @param {Slot} [o] */
  ends: (ids, position, o) => see('ends', { ids, position }, o),
  /** @param {number[]} ids @param {number} position @param {number} layer @param {Slot} [o] */
  row: (ids, position, layer, o) => see('row', { ids, position, layer }, o),
  /** @param {number[]} ids @param {number} layer @param {number} head @param {Slot} [o] */
  async past(ids, layer, head, o) {
    const found = await see('past', { ids, layer, head }, o);
    fetchNeighbours(ids, layer, head);
    return found;
  },
  /** @param {number[]} ids @param {number} layer @param {number} head @param {Slot} [o] */
  map: (ids, layer, head, o) => see('map', { ids, layer, head }, o),
  /** @param {number[]} ids @param {Slot} [o] */
  overview: (ids, o) => see('overview', { ids }, o),
  /**
   * @param {number[]} ids @param {number} position
   * @param {number | null} token @param {number | null} against @param {Slot} [o]
   */
  account: (ids, position, token, against, o) =>
    see('account', { ids, position, token, against }, o),
  /** @param {number[]} ids @param {number} position @param {Slot} [o] */
  narrate: (ids, position, o) => see('narrate', { ids, position }, o),
  /** @param {number[]} ids @param {number[]} positions at most 32 @param {Slot} [o] */
  lens: (ids, positions, o) => see('lens', { ids, positions }, o),
  /**
   * @param {number[]} ids @param {number} position @param {number | null} token
   * @param {Slot} [o]
   */
  next: (ids, position, token, o) => see('next', { ids, position, token }, o),
  /** @param {number[]} ids @param {string} name @param {number[]} index @param {Slot} [o] */
  equation: (ids, name, index, o) => see('equation', { ids, name, index }, o),
  /**
   * The events of a reply, one by one.
   * @param {object} body
   * @param {{signal?: AbortSignal}} [options]
   */
  async* reply(body, { signal } = {}) {
    yield* lines(await provider.stream('/api/reply', body, { signal }));
  },
  /**
   * The events of a lesson, one by one.
   * @param {object} body
   * @param {{signal?: AbortSignal}} [options]
   */
  async* teach(body, { signal } = {}) {
    for await (const event of lines(await provider.stream('/api/teach', body, { signal }))) {
      if (event.version) noted(event.version);
      yield event;
    }
  },
  stopLesson: () => act('/api/teach/stop', {}),
  keepLesson: () => act('/api/teach/keep', {}),
  undoLesson: () => act('/api/teach/undo', {}),
  lessons: () => act('/api/lessons', null),
  teachState: () => act('/api/teach/state', null),
  /** @param {number[] | null} numbers null: all */
  undoLessons: (numbers) => act('/api/lessons/undo', { numbers }),
  others: () => act('/api/teach/others', null),
  reload: () => act('/api/reload', {}),
};
