// Every call as a user of TypeScript writes it. What is marked must be refused by the compiler.
import { ApiError, CascadeMessenger, verifyWebhook, type Message, type Sent } from 'cascade-client';

const messenger = new CascadeMessenger('key', { baseUrl: 'http://127.0.0.1:8080', retries: { most: 1 } });
const message: Message = { id: 'a', fromName: 'Acme', toPhone: '+380501112233', messageType: 'promo', text: 'Hi' };

const sent: Sent = await messenger.sendMessage({ ...message, scheduledSent: new Date(), tags: ['spring'] });
const id: string = sent.messageId;
const many: Sent[] = await messenger.sendBulk([message], { via: 'tg-viber', idempotencyKey: 'k' });
await messenger.sendTelegramViber(message);
for await (const one of messenger.sendPartial([message])) {
  const told: string | null = 'error' in one ? one.error.field : one.messageId;
  void told;
}
for await (const one of messenger.preview([message])) {
  if (!('error' in one)) one.steps.map((step) => step.channel);
}
for await (const one of messenger.messages({ since: new Date(), tag: 'spring' })) one.deliverystatus;
(await messenger.status(id)).timeline.map((entry) => entry.event);
(await messenger.statuses({ trackinIds: ['a'] }))['a']?.cost;
(await messenger.cancelTag('spring')).tooLate + many.length;
(await messenger.checkFlashcall(id, '456789')).matched;
await messenger.reschedule(id, new Date());
await messenger.statistics({ by: ['channel'], interval: 'hour' });
verifyWebhook('whsec_', new Headers(), 'body').data;
try {
  await messenger.cancel(id);
} catch (error) {
  if (error instanceof ApiError && error.code === 'NOT_CANCELLABLE') error.index?.toFixed();
}

// @ts-expect-error no such type of message
const wrong: Message = { ...message, messageType: 'email' };
// @ts-expect-error the phone is missing
const missing: Message = { id: 'a', fromName: 'Acme', messageType: 'promo' };
// @ts-expect-error no such route
await messenger.sendBulk([message], { via: 'sms' });
void [wrong, missing];
