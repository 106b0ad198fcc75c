import { Buffer } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';

import { ForgedWebhookError } from './errors.js';

const PREFIX = 'whsec_';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * The event, once `body` (the raw bytes or text that came) is known to be signed with the webhook's secret. Source:
 * https://www.standardwebhooks.com, specification 1.0.0.
 */
export function verifyWebhook(secret, headers, body, { toleranceS = 300, nowS = () => Date.now() / 1000 } = {}) {
  const id = header(headers, 'webhook-id');
  const at = header(headers, 'webhook-timestamp');
  const signatures = header(headers, 'webhook-signature');
  if (!/^[0-9]{1,12}$/.test(at) || Math.abs(nowS() - Number(at)) > toleranceS) {
    throw new ForgedWebhookError('its time is too far from ours: an old request sent again, or a wrong clock');
  }
  const bytes = Buffer.from(body);
  const expected = createHmac('sha256', keyOf(secret)).update(`${id}.${at}.`).update(bytes).digest();
  for (const signature of signatures.split(' ')) {
    const [version, value = ''] = signature.split(',');
    const given = Buffer.from(value, 'base64');
    if (version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected)) {
      return JSON.parse(bytes.toString());
    }
  }
  throw new ForgedWebhookError('no signature matches: a wrong secret, or the body was changed on its way');
}

function keyOf(secret) {
  const written = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  if (!BASE64.test(written)) {
    throw new TypeError('the secret is not one: it is `whsec_` and base64, as the gateway showed it');
  }
  return Buffer.from(written, 'base64');
}

/** From a `Headers`, or from an object whose names may be in any case. */
function header(headers, name) {
  const value =
    typeof headers.get === 'function'
      ? headers.get(name)
      : Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  if (typeof value !== 'string') throw new ForgedWebhookError(`the header ${name} is missing`);
  return value;
}
