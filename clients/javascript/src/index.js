/** Client of the Cascade messaging gateway. It needs nothing but Node 18. */
export { CascadeMessenger } from './messenger.js';
export {
  ApiError,
  CascadeError,
  ForbiddenError,
  ForgedWebhookError,
  InvalidRequestError,
  NotFoundError,
  RateLimitedError,
  ServerError,
  UnauthorizedError,
  UnreachableError,
} from './errors.js';
export { VERSION } from './version.js';
export { verifyWebhook } from './webhooks.js';
