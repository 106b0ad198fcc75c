export type MessageType = 'transaction' | 'promo' | 'viber_survey' | 'flashcall';
export type Channel = 'telegram_bot' | 'viber_bot' | 'viber_business' | 'rcs' | 'sms' | 'flashcall';
export type Via = 'standard' | 'tg-viber';
export type DeliveryStatus = 'scheduled' | 'processing' | 'delivered' | 'undeliverable' | 'permanenterror';

export interface Step {
  channel: Channel;
  windowS?: number;
  until?: 'delivered' | 'read';
  text?: string;
  from?: string;
}

/** One message, in the contract's spelling. */
export interface Message {
  /** Your tracking id. */
  id: string;
  fromName: string;
  /** E.164 with the plus. */
  toPhone: string;
  messageType: MessageType;
  text?: string;
  /** Seconds. */
  ttl?: number;
  /** ISO 8601; UTC unless it has an offset. */
  scheduledSent?: string | Date;
  surveyOptions?: string[];
  variables?: Array<{ id: number | string; type: string; value: string }>;
  fallback?: { messageType?: 'transaction' | 'promo'; text: string };
  media?: Record<string, unknown>;
  button?: { text: string; url: string };
  tgMessage?: Record<string, unknown>;
  viberMessage?: Record<string, unknown>;
  route?: string | Array<Channel | Step>;
  maxCost?: string;
  tags?: string[];
  [more: string]: unknown;
}

export interface Sent {
  messageId: string;
  /** Your `id`. */
  trackinId: string;
  /** Fields of yours that mean nothing to the gateway. */
  ignored?: string[];
  /** Who will call, of a flash call. */
  callerId?: string;
  /** The same with its last digits alone. */
  pattern?: string;
}

export interface Fault {
  code: string;
  message: string;
  field: string | null;
  /** The message's place in the list that you gave, from 0. */
  index: number | null;
}

/** A message that was not accepted, in the place of its answer. */
export interface Refused {
  trackinId: string | null;
  error: Fault & { details: Fault[] };
}

export interface Preview {
  trackinId: string;
  route: string | null;
  startsAt: string;
  expiresAt: string;
  steps: Array<Record<string, unknown> & { channel: Channel; status: 'planned' | 'skipped' }>;
  costLow: string;
  costHigh: string;
  currency: string;
}

export interface Listed {
  messagelistId: number;
  messageId: string;
  trackinId: string;
  messageType: MessageType;
  fromName: string;
  toPhone: string;
  deliverystatus: DeliveryStatus;
  /** The one that delivered. */
  channel: Channel | null;
  cost: number;
  rateCurrency: string;
  acceptedAt: string;
  scheduledSent: string | null;
  finishedAt: string | null;
}

export interface Status extends Listed {
  /** As `channel`, by the name that webhooks give it. */
  deliveredVia: Channel | null;
  partscount: number;
  rate: number;
  fallbacks: Array<{ type: Channel; status: string }>;
  extendedStatuses: Partial<Record<Channel, string>>;
  read: boolean;
  clicks?: number;
  machineClicks?: number;
  survey?: string;
  callerId?: string;
  pattern?: string;
  digitsMatched?: boolean;
  checksLeft?: number;
  expiresAt: string;
  attempts: Array<Record<string, unknown> & { channel: Channel; state: string }>;
  timeline: Array<Record<string, unknown> & { at: string; event: string }>;
}

export interface FlashcallCheck {
  messageId: string;
  trackinId: string;
  result: string;
  /** True once, for the right digits. */
  matched: boolean;
  checksLeft: number;
}

export interface Filters {
  /** Of acceptance: at that time or later. */
  since?: Date | string;
  /** Of acceptance: before that time. */
  until?: Date | string;
  status?: DeliveryStatus;
  channel?: Channel;
  messageType?: MessageType;
  phone?: string;
  trackinId?: string;
  tag?: string;
}

export interface Retries {
  /** Tries after the first; 0: none. */
  most: number;
  /** The longest pause before the first repeat; it doubles from there. */
  firstMs: number;
  longestMs: number;
  /** A gateway that asks for a longer pause is not waited for. */
  patienceMs: number;
}

export interface Options {
  /** Default: the environment's `CASCADE_URL`, or this machine. */
  baseUrl?: string;
  viberToken?: string;
  telegramKey?: string;
  timeoutMs?: number;
  retries?: Partial<Retries>;
}

export interface SendOptions {
  via?: Via;
  /** With it, the same messages sent again are not sent twice, whoever sends them. Without one, each call has its own. */
  idempotencyKey?: string;
}

export type Messages = Iterable<Message> | AsyncIterable<Message>;

/**
 * A client of one gateway for one account. Every call rejects with a `CascadeError`; what may help is tried again first,
 * and no message is ever sent twice by that.
 */
export class CascadeMessenger {
  /** `apiKey` undefined: the environment's `CASCADE_KEY`. */
  constructor(apiKey?: string, options?: Options);
  baseUrl: string;
  sendMessage(message: Message, options?: SendOptions): Promise<Sent>;
  /** By both bots first, with short windows. */
  sendTelegramViber(message: Message): Promise<Sent>;
  /**
   * Any number of messages, in requests of up to 1,000. A request with one bad message is refused whole: the error's
   * `index` is the bad one's place in `messages`, and its `sent` what the requests before had accepted.
   */
  sendBulk(messages: Messages, options?: SendOptions): Promise<Sent[]>;
  /** The good ones of any number of messages; what became of each, in order, as the requests are answered. */
  sendPartial(messages: Messages, options?: SendOptions): AsyncGenerator<Sent | Refused, void, void>;
  /** What would become of each message. Nothing is stored or sent. */
  preview(messages: Messages, options?: SendOptions): AsyncGenerator<Preview | Refused, void, void>;
  status(messageId: string): Promise<Status>;
  /** Any number of messages by our ids or by yours; those that are not known are not in it. */
  statuses(ids: { messageIds?: string[]; trackinIds?: string[] }): Promise<Record<string, Listed>>;
  /** Every message that fits, the newest first, asked for page by page. */
  messages(filters?: Filters): AsyncGenerator<Listed, void, void>;
  cancel(messageId: string): Promise<Status>;
  hasten(messageId: string): Promise<Status>;
  reschedule(messageId: string, at: Date | string): Promise<Status>;
  cancelTag(tag: string): Promise<{ cancelled: number; tooLate: number }>;
  hastenTag(tag: string): Promise<{ hastened: number; tooLate: number }>;
  rescheduleTag(tag: string, at: Date | string): Promise<{ rescheduled: number; tooLate: number }>;
  /** Whether these digits, which a person typed, are the last ones of the number that called. */
  checkFlashcall(messageId: string, digits: string): Promise<FlashcallCheck>;
  statistics(
    options?: Filters & { interval?: 'day' | 'hour'; by?: Array<'channel' | 'status' | 'type' | 'tag'> },
  ): Promise<{ from: string; to: string; rateCurrency: string; groups: Array<Record<string, unknown>> }>;
  channels(): Promise<Array<Record<string, unknown> & { channel: Channel; link: string; state: 'up' | 'down' | 'unknown' }>>;
  putVariables(variables: Array<{ id: number | string; type: string; value: string }>): Promise<number>;
  /** The `secret` in the answer is shown this once: `verifyWebhook` needs it. */
  addWebhook(url: string, types?: string[]): Promise<Record<string, unknown> & { id: string; secret: string }>;
  webhooks(): Promise<Array<Record<string, unknown> & { id: string; url: string; enabled: boolean }>>;
  removeWebhook(webhookId: string): Promise<void>;
}

export class CascadeError extends Error {
  /** Of a bulk that took several requests, what was accepted before this one failed. */
  sent: Sent[];
}
export class UnreachableError extends CascadeError {
  isUnsent: boolean;
}
export class ForgedWebhookError extends CascadeError {}
export class ApiError extends CascadeError {
  status: number;
  code: string;
  field: string | null;
  index: number | null;
  details: Fault[];
  retryAfterS: number | null;
  requestId: string | null;
  response: { status: number; data: unknown };
}
export class InvalidRequestError extends ApiError {}
export class UnauthorizedError extends ApiError {}
export class ForbiddenError extends ApiError {}
export class NotFoundError extends ApiError {}
export class RateLimitedError extends ApiError {}
export class ServerError extends ApiError {}

export interface Event {
  /** `batch`: then `data` is a list of events, each with its `id`. */
  type: string;
  timestamp: string;
  data: any;
}

/**
 * The event, once `body` (the raw bytes or text that came) is known to be signed with the webhook's secret; throws
 * `ForgedWebhookError` otherwise. The same event may come twice: remember its `webhook-id`.
 */
export function verifyWebhook(
  secret: string,
  headers: Headers | Record<string, string | string[] | undefined>,
  body: Uint8Array | string,
  options?: { toleranceS?: number; nowS?: () => number },
): Event;

export const VERSION: string;
