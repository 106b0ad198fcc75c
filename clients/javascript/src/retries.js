/**
 * When to try a request again. That is safe for sends: each carries an `Idempotency-Key`, the same in every try, so that
 * the gateway answers a repeat with the first answer and sends nothing again.
 */
import { ApiError, UnreachableError } from './errors.js';

export const RETRIES = { most: 5, firstMs: 500, longestMs: 30_000, patienceMs: 60_000 };

const NOT_DONE = new Set([429, 503]);
const PERHAPS_DONE = new Set([500, 502, 504]);

/** How long to wait after the try number `tried`, from 1; null: give up. */
export function pauseMs(retries, failure, tried, isRepeatable) {
  if (tried > retries.most || !mayRepeat(failure, isRepeatable)) return null;
  const askedMs = (failure.retryAfterS ?? 0) * 1000;
  if (askedMs > retries.patienceMs) return null;
  return Math.max(Math.random() * Math.min(retries.firstMs * 2 ** (tried - 1), retries.longestMs), askedMs);
}

function mayRepeat(failure, isRepeatable) {
  if (failure instanceof UnreachableError) return failure.isUnsent || isRepeatable;
  if (!(failure instanceof ApiError)) return false;
  return NOT_DONE.has(failure.status) || (isRepeatable && PERHAPS_DONE.has(failure.status));
}

/** Seconds from a `Retry-After`: a number, or a date. null: there is none that can be read. */
export function retryAfterS(header) {
  if (header === null) return null;
  if (/^\s*[0-9]+\s*$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max((at - Date.now()) / 1000, 0);
}
