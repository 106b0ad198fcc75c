/** The root of all errors here. `sent`: of a bulk that took several requests, what was accepted before this one failed. */
export class CascadeError extends Error {
  constructor(message) {
    super(message);
    this.name = this.constructor.name;
    this.sent = [];
  }
}

/** No answer came. `isUnsent`: the request never left, so nothing can have happened. */
export class UnreachableError extends CascadeError {
  constructor(message, isUnsent) {
    super(message);
    this.isUnsent = isUnsent;
  }
}

/** A webhook whose signature does not match, or which is too old: answer 400 and believe nothing of it. */
export class ForgedWebhookError extends CascadeError {}

/** The gateway refused. `index` is the bad message's place in the list that you gave. */
export class ApiError extends CascadeError {
  constructor(status, error, { retryAfterS = null, requestId = null, body = null } = {}) {
    const code = error.code ?? 'INTERNAL_ERROR';
    const said = error.message ?? `HTTP ${status}`;
    const place = error.index == null ? '' : ` (message ${error.index})`;
    super(`${code}: ${said}${place}${error.details?.length ? `, and ${error.details.length} more` : ''}`);
    this.status = status;
    this.code = code;
    this.field = error.field ?? null;
    this.index = error.index ?? null;
    this.details = error.details ?? [];
    this.retryAfterS = retryAfterS;
    this.requestId = requestId;
    /** As axios has it, for code that looks at `error.response.status`. */
    this.response = { status, data: body };
  }
}

export class InvalidRequestError extends ApiError {}
export class UnauthorizedError extends ApiError {}
export class ForbiddenError extends ApiError {}
export class NotFoundError extends ApiError {}
export class RateLimitedError extends ApiError {}
export class ServerError extends ApiError {}

const BY_STATUS = new Map([
  [400, InvalidRequestError],
  [401, UnauthorizedError],
  [403, ForbiddenError],
  [404, NotFoundError],
  [429, RateLimitedError],
]);

/** `offset`: the place in the caller's list of the request's first message. */
export function errorOf(status, body, { offset, retryAfterS }) {
  const Kind = BY_STATUS.get(status) ?? (status >= 500 ? ServerError : ApiError);
  const error = body !== null && typeof body === 'object' ? body.error : undefined;
  return new Kind(status, error !== null && typeof error === 'object' ? moved(error, offset) : {}, {
    retryAfterS,
    requestId: body?.requestId ?? null,
    body,
  });
}

/** The error with places in the caller's list instead of the request. */
export function moved(error, offset) {
  return {
    ...error,
    index: error.index == null ? null : error.index + offset,
    ...(error.details === undefined ? {} : { details: error.details.map((one) => moved(one, offset)) }),
  };
}
