// One call of the JavaScript client, as JSON on standard input asks for it; what came of it as JSON on standard output.
import { text } from 'node:stream/consumers';

import { CascadeMessenger, verifyWebhook } from '../../clients/javascript/src/index.js';

const { url, key, call, given } = JSON.parse(await text(process.stdin));
const messenger = key === null ? null : new CascadeMessenger(key, { baseUrl: url, retries: { most: 2, firstMs: 10 } });

async function all(answers) {
  const list = [];
  for await (const one of answers) list.push(one);
  return list;
}

const CALLS = {
  send_message: ({ message, via }) => messenger.sendMessage(message, { via }),
  send_telegram_viber: ({ message }) => messenger.sendTelegramViber(message),
  send_bulk: ({ messages, under: idempotencyKey }) => messenger.sendBulk(messages, { idempotencyKey }),
  send_partial: ({ messages }) => all(messenger.sendPartial(messages)),
  preview: ({ messages }) => all(messenger.preview(messages)),
  status: ({ id }) => messenger.status(id),
  statuses: ({ message_ids, tracking_ids }) => messenger.statuses({ messageIds: message_ids, trackinIds: tracking_ids }),
  messages: ({ since, tag }) => all(messenger.messages({ since, tag })),
  unknown_filter: () => all(messenger.messages({ from_: 'x' })),
  cancel: ({ id }) => messenger.cancel(id),
  reschedule: ({ id, at }) => messenger.reschedule(id, new Date(at)),
  cancel_tag: ({ tag }) => messenger.cancelTag(tag),
  statistics: ({ tag, by }) => messenger.statistics({ tag, by }),
  channels: () => messenger.channels(),
  put_variables: ({ variables }) => messenger.putVariables(variables),
  add_webhook: ({ to }) => messenger.addWebhook(to),
  verify: ({ secret, headers, body, now_s }) => verifyWebhook(secret, headers, body, { nowS: () => now_s }),
};

try {
  console.log(JSON.stringify({ answer: (await CALLS[call](given)) ?? null }));
} catch (error) {
  const { name, message, status, code, field, index, details, retryAfterS, requestId, sent, isUnsent } = error;
  const told = { status, code, field, index, details, retry_after_s: retryAfterS, request_id: requestId };
  console.log(JSON.stringify({ error: { kind: name, message, ...told, sent, is_unsent: isUnsent } }));
}
