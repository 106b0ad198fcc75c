// Calls of the JavaScript client: each a line of JSON on standard input, and what came of it a line on standard output.
import { createInterface } from 'node:readline';

import { CascadeMessenger, verifyWebhook } from '../../clients/javascript/src/index.js';

async function all(answers) {
  const list = [];
  for await (const one of answers) list.push(one);
  return list;
}

const callsOf = (messenger) => ({
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
  check_flashcall: ({ id, digits }) => messenger.checkFlashcall(id, digits),
  verify: ({ secret, headers, body, now_s }) => verifyWebhook(secret, headers, body, { nowS: () => now_s }),
});

async function answerTo({ url, key, call, given }) {
  try {
    const messenger = key === null ? null : new CascadeMessenger(key, { baseUrl: url, retries: { most: 2, firstMs: 10 } });
    return { answer: (await callsOf(messenger)[call](given)) ?? null };
  } catch (error) {
    const { name, message, status, code, field, index, details, retryAfterS, requestId, sent, isUnsent } = error;
    const told = { status, code, field, index, details, retry_after_s: retryAfterS, request_id: requestId };
    return { error: { kind: name, message, ...told, sent, is_unsent: isUnsent } };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await answerTo(JSON.parse(line))));
