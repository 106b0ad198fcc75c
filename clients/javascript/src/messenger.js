import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { env } from 'node:process';

import { CascadeError, UnreachableError, errorOf, moved } from './errors.js';
import { RETRIES, pauseMs, retryAfterS } from './retries.js';
import { VERSION } from './version.js';

const SEND = '/api/CascadeMessage/send_message';
const ROUTES = { standard: `${SEND}/async`, 'tg-viber': `${SEND}/tg-viber/async` };
const MOST_MESSAGES = 1000; // in one request: the gateway takes 5,000 by default, and up to 1,000 is the advised size
const MOST_BYTES = 8 * 1024 * 1024; // of one request's body: the gateway takes 16 MiB by default
const MOST_LOOKED_UP = 1000;
const LONGEST_PAGE = 500;
const FILTERS = new Map([
  ['since', 'from'],
  ['until', 'to'],
  ...['status', 'channel', 'messageType', 'phone', 'trackinId', 'tag'].map((name) => [name, name]),
]);
const NEVER_LEFT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** A client of one gateway for one account. */
export class CascadeMessenger {
  #headers;
  #timeoutMs;
  #retries;

  constructor(apiKey = env.CASCADE_KEY, options = {}) {
    const { baseUrl = env.CASCADE_URL ?? 'http://127.0.0.1:8080', viberToken, telegramKey } = options;
    this.baseUrl = baseUrl.replace(/\/+$/, '');
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#retries = { ...RETRIES, ...options.retries };
    if (!/^https?:\/\//.test(this.baseUrl)) {
      throw new CascadeError(`'${baseUrl}' is no URL of a gateway: it begins with http:// or https://`);
    }
    const credentials = { 'X-Authorization-Key': apiKey, 'X-Viber-Auth-Token': viberToken, 'X-Tg-Bot-Key': telegramKey };
    const given = Object.entries(credentials).filter(([, value]) => value);
    if (given.length === 0) throw new CascadeError('there is no key: give `apiKey`, or set CASCADE_KEY');
    if (!given.every(([, value]) => /^[ -~]+$/.test(value))) {
      throw new CascadeError('the key holds signs that no key has: copy it again');
    }
    this.#headers = { ...Object.fromEntries(given), 'User-Agent': `cascade-javascript/${VERSION}` };
  }

  async sendMessage(message, options) {
    return (await this.sendBulk([message], options))[0];
  }

  async sendTelegramViber(message) {
    return this.sendMessage(message, { via: 'tg-viber' });
  }

  async sendBulk(messages, options = {}) {
    const sent = [];
    try {
      for await (const answers of this.#send(messages, options, {})) sent.push(...answers);
    } catch (error) {
      if (error instanceof CascadeError) error.sent = sent;
      throw error;
    }
    return sent;
  }

  async *sendPartial(messages, options = {}) {
    for await (const answers of this.#send(messages, options, { partial: 'true' })) yield* answers;
  }

  async *preview(messages, options = {}) {
    for await (const answers of this.#send(messages, options, { validate: 'true', partial: 'true' })) yield* answers;
  }

  async status(messageId) {
    return this.#do('GET', `/v1/messages/${encodeURIComponent(messageId)}`);
  }

  async statuses({ messageIds = [], trackinIds = [] }) {
    const found = {};
    for (const [name, key, ids] of [['messageIds', 'messageId', messageIds], ['trackinIds', 'trackinId', trackinIds]]) {
      for (let start = 0; start < ids.length; start += MOST_LOOKED_UP) {
        const body = JSON.stringify({ [name]: ids.slice(start, start + MOST_LOOKED_UP) });
        for (const one of (await this.#do('POST', '/v1/messages/status', { body })).messages) found[one[key]] = one;
      }
    }
    return found;
  }

  async *messages(filters = {}) {
    let cursor = null;
    do {
      const query = [...queryOf(filters), ['limit', String(LONGEST_PAGE)], ...(cursor === null ? [] : [['cursor', cursor]])];
      const page = await this.#do('GET', '/v1/messages', { query });
      yield* page.messages;
      cursor = page.nextCursor;
    } while (cursor !== null);
  }

  async cancel(messageId) {
    return this.#change('messages', messageId, 'cancel');
  }

  async hasten(messageId) {
    return this.#change('messages', messageId, 'hasten');
  }

  async reschedule(messageId, at) {
    return this.#change('messages', messageId, 'reschedule', { scheduledSent: at });
  }

  async cancelTag(tag) {
    return this.#change('tags', tag, 'cancel');
  }

  async hastenTag(tag) {
    return this.#change('tags', tag, 'hasten');
  }

  async rescheduleTag(tag, at) {
    return this.#change('tags', tag, 'reschedule', { scheduledSent: at });
  }

  async checkFlashcall(messageId, digits) {
    const path = `/v1/flashcalls/${encodeURIComponent(messageId)}/check`;
    return this.#do('POST', path, { body: JSON.stringify({ digits }), isRepeatable: false }); // each check counts
  }

  async statistics({ interval = 'day', by = [], ...filters } = {}) {
    const query = [...queryOf(filters), ['interval', interval], ...by.map((one) => ['by', one])];
    return this.#do('GET', '/v1/statistics', { query });
  }

  async channels() {
    return (await this.#do('GET', '/v1/channels')).channels;
  }

  async putVariables(variables) {
    return (await this.#do('POST', '/api/items', { body: JSON.stringify({ variables }) })).stored;
  }

  async addWebhook(url, types) {
    return this.#do('POST', '/v1/webhooks', { body: JSON.stringify({ url, types }), isRepeatable: false });
  }

  async webhooks() {
    return (await this.#do('GET', '/v1/webhooks')).webhooks;
  }

  async removeWebhook(webhookId) {
    await this.#do('DELETE', `/v1/webhooks/${encodeURIComponent(webhookId)}`, { isRepeatable: false });
  }

  /** The answers to each request that the messages fill, as they are read. */
  async *#send(messages, { via = 'standard', idempotencyKey }, query) {
    if (!(via in ROUTES)) throw new TypeError(`there is no route '${via}': there are ${Object.keys(ROUTES).join(', ')}`);
    let number = 0;
    for await (const { offset, body } of bodies(messages)) {
      const key = idempotencyKey === undefined ? randomUUID() : `${idempotencyKey}.${number++}`;
      const headers = query.validate ? {} : { 'Idempotency-Key': key };
      const answers = await this.#do('POST', ROUTES[via], { query: Object.entries(query), body, headers, offset });
      yield answers.map((one) => ('error' in one ? { ...one, error: moved(one.error, offset) } : one));
    }
  }

  async #change(noun, name, verb, body) {
    const options = body === undefined ? {} : { body: JSON.stringify(body) };
    return this.#do('POST', `/v1/${noun}/${encodeURIComponent(name)}/${verb}`, options);
  }

  async #do(method, path, { query = [], body, headers = {}, offset = 0, isRepeatable = true } = {}) {
    const search = new URLSearchParams(query).toString();
    const url = `${this.baseUrl}${path}${search === '' ? '' : `?${search}`}`;
    const sent = { ...this.#headers, ...headers, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
    for (let tried = 1; ; tried++) {
      try {
        return await this.#once(url, { method, body, headers: sent, redirect: 'manual' }, offset);
      } catch (failure) {
        if (!(failure instanceof CascadeError)) throw failure;
        const wait = pauseMs(this.#retries, failure, tried, isRepeatable);
        if (wait === null) throw failure;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #once(url, request, offset) {
    let answer, text;
    try {
      answer = await fetch(url, { ...request, signal: AbortSignal.timeout(this.#timeoutMs) });
      text = await answer.text();
    } catch (error) {
      const code = error.cause?.code ?? error.name;
      throw new UnreachableError(`no answer from ${this.baseUrl} (${code})`, NEVER_LEFT.has(code));
    }
    let told;
    try {
      told = text === '' ? null : JSON.parse(text);
    } catch {
      told = undefined;
    }
    if (answer.ok && told !== undefined) return told;
    const failedAs = answer.ok ? 502 : answer.status; // a proxy's page, say
    throw errorOf(failedAs, told ?? null, { offset, retryAfterS: retryAfterS(answer.headers.get('retry-after')) });
  }
}

/** The place of the first message and the body of each request. */
async function* bodies(messages) {
  let parts = [];
  let size = 0;
  let offset = 0;
  for await (const message of messages) {
    const part = JSON.stringify(message);
    const bytes = Buffer.byteLength(part);
    if (parts.length > 0 && (parts.length === MOST_MESSAGES || size + bytes > MOST_BYTES)) {
      yield { offset, body: `[${parts.join(',')}]` };
      offset += parts.length;
      parts = [];
      size = 0;
    }
    parts.push(part);
    size += bytes + 1;
  }
  if (parts.length > 0) yield { offset, body: `[${parts.join(',')}]` };
}

function queryOf(filters) {
  return Object.entries(filters)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => {
      if (!FILTERS.has(name)) throw new TypeError(`there is no filter '${name}': there are ${[...FILTERS.keys()].join(', ')}`);
      return [FILTERS.get(name), value instanceof Date ? value.toISOString() : String(value)];
    });
}
