// @ts-check
/** Where answers come from: the server that served this page, or what a shared file recorded. */

/**
 * @typedef {{version: string, json?: any, bytes?: ArrayBuffer}} Answer
 * @typedef {{recorded: any, send: (route: string, body: object | null,
 *   options?: {signal?: AbortSignal}) => Promise<Answer>, stream: (route: string, body: object,
 *   options?: {signal?: AbortSignal}) => Promise<ReadableStream<Uint8Array>>}} Provider
 */

/** What went wrong, as the server says it. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{code?: string, param?: string | null, status?: number}} [about]
   */
  constructor(message, { code = 'internal', param = null, status = 0 } = {}) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.param = param;
    this.status = status;
  }
}

const UNREACHABLE = 'The server does not answer. Is `nextword serve` still running?';
const NOT_RECORDED =
  'This file holds only what was recorded. Open the model with nextword serve to see more.';

/**
 * @param {string} route
 * @param {object | null} body
 * @param {AbortSignal | undefined} signal
 */
async function request(route, body, signal) {
  const asked = body === null ? { signal } : {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  };
  let response;
  try {
    response = await fetch(route, asked);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(UNREACHABLE, { code: 'unreachable' });
  }
  if (!response.ok) throw await refused(response);
  return response;
}

/** @param {Response} response */
async function refused(response) {
  const status = response.status;
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { code: error.code, param: error.param, status });
  } catch {
    return new ApiError(`The server answered ${status}.`, { status });
  }
}

/** @type {Provider} */
const fetching = {
  recorded: null,
  async send(route, body, { signal } = {}) {
    const response = await request(route, body, signal);
    const version = response.headers.get('nextword-version') ?? '';
    const tensors = response.headers.get('content-type')?.includes('tensors');
    if (tensors) return { version, bytes: await response.arrayBuffer() };
    return { version, json: await response.json() };
  },
  async stream(route, body, { signal } = {}) {
    const { body: stream } = await request(route, body, signal);
    if (!stream) throw new ApiError(UNREACHABLE, { code: 'unreachable' });
    return stream;
  },
};

/** @param {string} text base64 */
function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
}

/**
 * Answers from a shared file; what it does not hold is refused quietly.
 * @param {any} record
 * @returns {Provider}
 */
function recording(record) {
  const missing = () => new ApiError(NOT_RECORDED, { code: 'not_recorded' });
  return {
    recorded: record,
    async send(route, body) {
      const { version } = record;
      if (route === '/api/model') return { version, json: record.card };
      if (route === '/api/read') return { version, json: record.read };
      const { ids, version: _, ...rest } = /** @type {any} */ (body);
      const found = record.responses[`${route} ${JSON.stringify(rest)}`];
      if (!found) throw missing();
      return found.tensors === undefined
        ? { version, json: found.json } : { version, bytes: bytesOf(found.tensors) };
    },
    async stream() {
      throw missing();
    },
  };
}

const element = document.getElementById('nextword-recorded');
export const provider = element ? recording(JSON.parse(element.textContent ?? '')) : fetching;
