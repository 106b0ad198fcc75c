<?php

// Calls of the PHP client: each a line of JSON on standard input, and what came of it a line on standard output.

declare(strict_types=1);

use Cascade\CascadeMessenger;
use Cascade\Retries;
use Cascade\Webhook;

spl_autoload_register(function (string $class): void {
    require __DIR__ . '/../../clients/php/src/' . substr($class, strlen('Cascade\\')) . '.php';
});

function sendOne(CascadeMessenger $messenger, array $message, ?string $via): array
{
    ['id' => $id, 'fromName' => $from, 'toPhone' => $to, 'messageType' => $type] = $message;
    $more = array_diff_key($message, array_flip(['id', 'fromName', 'toPhone', 'messageType', 'text', 'ttl', 'scheduledSent']));
    $known = [$message['text'] ?? null, $message['ttl'] ?? null, $message['scheduledSent'] ?? null, $more];
    return $via === 'bots'
        ? $messenger->sendTelegramViber($id, $from, $to, $type, ...$known)
        : $messenger->sendMessage($id, $from, $to, $type, ...$known);
}

function answerTo(array $asked): array
{
    $given = $asked['given'];
    try {
        $messenger = $asked['key'] === null
            ? null
            : new CascadeMessenger($asked['key'], $asked['url'], retries: new Retries(most: 2, firstS: 0.01));
        $answer = match ($asked['call']) {
            'send_message' => sendOne($messenger, $given['message'], null),
            'send_telegram_viber' => sendOne($messenger, $given['message'], 'bots'),
            'send_bulk' => $messenger->sendBulk($given['messages'], idempotencyKey: $given['under'] ?? null),
            'send_partial' => iterator_to_array($messenger->sendPartial($given['messages']), false),
            'preview' => iterator_to_array($messenger->preview($given['messages']), false),
            'status' => $messenger->status($given['id']),
            'statuses' => (object) $messenger->statuses($given['message_ids'] ?? [], $given['tracking_ids'] ?? []),
            'messages' => iterator_to_array($messenger->messages(array_filter($given)), false),
            'unknown_filter' => iterator_to_array($messenger->messages(['from_' => 'x'])),
            'cancel' => $messenger->cancel($given['id']),
            'reschedule' => $messenger->reschedule($given['id'], new DateTimeImmutable($given['at'])),
            'cancel_tag' => $messenger->cancelTag($given['tag']),
            'statistics' => $messenger->statistics(by: $given['by'], filters: ['tag' => $given['tag']]),
            'channels' => $messenger->channels(),
            'check_flashcall' => $messenger->checkFlashcall($given['id'], $given['digits']),
            'put_variables' => $messenger->putVariables($given['variables']),
            'add_webhook' => $messenger->addWebhook($given['to']),
            'verify' => Webhook::verify($given['secret'], $given['headers'], $given['body'], nowS: $given['now_s']),
        };
        $said = ['answer' => $answer];
    } catch (Throwable $error) {
        $said = ['error' => [
            'kind' => (new ReflectionClass($error))->getShortName(),
            'message' => $error->getMessage(),
            'status' => $error->status ?? null,
            'code' => $error->errorCode ?? null,
            'field' => $error->field ?? null,
            'index' => $error->index ?? null,
            'details' => $error->details ?? null,
            'retry_after_s' => $error->retryAfterS ?? null,
            'request_id' => $error->requestId ?? null,
            'sent' => $error->sent ?? null,
            'is_unsent' => $error->isUnsent ?? null,
        ]];
    }
    return $said;
}

while (($line = fgets(STDIN)) !== false) {
    echo json_encode(answerTo(json_decode($line, true)), JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE), "\n";
}
