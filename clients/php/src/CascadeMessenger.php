<?php

declare(strict_types=1);

namespace Cascade;

/**
 * A client of one gateway for one account. Every call throws a `CascadeException`; what may help is tried again first,
 * and no message is ever sent twice by that (see `Retries`).
 */
final class CascadeMessenger
{
    public const VERSION = '0.1.0';

    private const SEND = '/api/CascadeMessage/send_message';
    private const ROUTES = ['standard' => self::SEND . '/async', 'tg-viber' => self::SEND . '/tg-viber/async'];
    /** In one request: the gateway takes 5,000 by default, and up to 1,000 is the advised size. */
    private const MOST_MESSAGES = 1000;
    /** Of one request's body: the gateway takes 16 MiB by default. */
    private const MOST_BYTES = 8 * 1024 * 1024;
    private const MOST_LOOKED_UP = 1000;
    private const LONGEST_PAGE = 500;
    private const FILTERS = [
        'since' => 'from',
        'until' => 'to',
        'status' => 'status',
        'channel' => 'channel',
        'messageType' => 'messageType',
        'phone' => 'phone',
        'trackinId' => 'trackinId',
        'tag' => 'tag',
    ];
    private const NEVER_LEFT = [CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT];

    private readonly string $baseUrl;
    /** @var list<string> */
    private readonly array $headers;
    private readonly \CurlHandle $curl;

    /**
     * @param ?string $apiKey null: the environment's CASCADE_KEY
     * @param ?string $baseUrl null: the environment's CASCADE_URL, or this machine
     */
    public function __construct(
        #[\SensitiveParameter] ?string $apiKey = null,
        ?string $baseUrl = null,
        #[\SensitiveParameter] ?string $viberToken = null,
        #[\SensitiveParameter] ?string $telegramKey = null,
        private readonly float $timeoutS = 30.0,
        private readonly Retries $retries = new Retries(),
    ) {
        $this->baseUrl = rtrim($baseUrl ?? (getenv('CASCADE_URL') ?: 'http://127.0.0.1:8080'), '/');
        if (preg_match('#^https?://#', $this->baseUrl) !== 1) {
            throw new CascadeException("'$baseUrl' is no URL of a gateway: it begins with http:// or https://");
        }
        $credentials = array_filter([
            'X-Authorization-Key' => $apiKey ?? (getenv('CASCADE_KEY') ?: null),
            'X-Viber-Auth-Token' => $viberToken,
            'X-Tg-Bot-Key' => $telegramKey,
        ]);
        if ($credentials === []) {
            throw new CascadeException('there is no key: give $apiKey, or set CASCADE_KEY');
        }
        $headers = ['User-Agent: cascade-php/' . self::VERSION, 'Expect:'];
        foreach ($credentials as $name => $value) {
            if (preg_match('/^[ -~]+$/D', $value) !== 1) {
                throw new CascadeException('the key holds signs that no key has: copy it again');
            }
            $headers[] = "$name: $value";
        }
        $this->headers = $headers;
        $this->curl = curl_init();
    }

    /**
     * Send one message. `more`: every other field of the contract by its name, such as ['tags' => ['spring']].
     *
     * @param array<string, mixed> $more
     * @return array{messageId: string, trackinId: string}
     */
    public function sendMessage(
        string $id,
        string $fromName,
        string $toPhone,
        string $messageType,
        ?string $text = null,
        ?int $ttl = null,
        \DateTimeInterface|string|null $scheduledSent = null,
        array $more = [],
        string $via = 'standard',
    ): array {
        $message = [
            'id' => $id,
            'fromName' => $fromName,
            'toPhone' => $toPhone,
            'messageType' => $messageType,
            'text' => $text,
            'ttl' => $ttl,
            'scheduledSent' => $scheduledSent,
            ...$more,
        ];
        return $this->sendBulk([array_filter($message, fn ($value) => $value !== null)], $via)[0];
    }

    /**
     * Send one message by both bots first, with short windows.
     *
     * @param array<string, mixed> $more
     * @return array{messageId: string, trackinId: string}
     */
    public function sendTelegramViber(
        string $id,
        string $fromName,
        string $toPhone,
        string $messageType,
        ?string $text = null,
        ?int $ttl = null,
        \DateTimeInterface|string|null $scheduledSent = null,
        array $more = [],
    ): array {
        return $this->sendMessage(
            $id,
            $fromName,
            $toPhone,
            $messageType,
            $text,
            $ttl,
            $scheduledSent,
            $more,
            'tg-viber',
        );
    }

    /**
     * Send any number of messages in requests of up to 1,000; what became of each, in order.
     *
     * A request with one bad message is refused whole: the exception's `index` is the bad one's place in `messages`, and
     * its `sent` what the requests before had accepted.
     *
     * @param iterable<array<string, mixed>> $messages
     * @return list<array{messageId: string, trackinId: string}>
     */
    public function sendBulk(iterable $messages, string $via = 'standard', ?string $idempotencyKey = null): array
    {
        $sent = [];
        try {
            foreach ($this->send($messages, $via, [], $idempotencyKey) as $answers) {
                array_push($sent, ...$answers);
            }
        } catch (CascadeException $failure) {
            $failure->sent = $sent;
            throw $failure;
        }
        return $sent;
    }

    /**
     * Send the good ones of any number of messages; what became of each, in order, as the requests are answered: either
     * as `sendBulk` has it, or ['trackinId' => …, 'error' => …].
     *
     * @param iterable<array<string, mixed>> $messages
     * @return \Generator<int, array<string, mixed>>
     */
    public function sendPartial(iterable $messages, string $via = 'standard', ?string $idempotencyKey = null): \Generator
    {
        foreach ($this->send($messages, $via, ['partial' => 'true'], $idempotencyKey) as $answers) {
            foreach ($answers as $one) {
                yield $one;
            }
        }
    }

    /**
     * What would become of each message: its steps, texts and cost. Nothing is stored or sent.
     *
     * @param iterable<array<string, mixed>> $messages
     * @return \Generator<int, array<string, mixed>>
     */
    public function preview(iterable $messages, string $via = 'standard'): \Generator
    {
        foreach ($this->send($messages, $via, ['validate' => 'true', 'partial' => 'true'], null) as $answers) {
            foreach ($answers as $one) {
                yield $one;
            }
        }
    }

    /** @return array<string, mixed> One message in full, with its timeline. */
    public function status(string $messageId): array
    {
        return $this->call('GET', '/v1/messages/' . rawurlencode($messageId));
    }

    /**
     * Any number of messages by our ids or by yours; those that are not known are not in it.
     *
     * @param list<string> $messageIds
     * @param list<string> $trackinIds
     * @return array<string, array<string, mixed>>
     */
    public function statuses(array $messageIds = [], array $trackinIds = []): array
    {
        $found = [];
        foreach (['messageId' => $messageIds, 'trackinId' => $trackinIds] as $key => $ids) {
            foreach (array_chunk($ids, self::MOST_LOOKED_UP) as $some) {
                $told = $this->call('POST', '/v1/messages/status', body: self::encode(["{$key}s" => $some]));
                $found = array_column($told['messages'], null, $key) + $found;
            }
        }
        return $found;
    }

    /**
     * Every message that fits, the newest first, asked for page by page.
     *
     * @param array<string, \DateTimeInterface|string> $filters since, until (of acceptance), status, channel,
     *     messageType, phone, trackinId, tag
     * @return \Generator<int, array<string, mixed>>
     */
    public function messages(array $filters = []): \Generator
    {
        $query = self::query($filters) + ['limit' => (string) self::LONGEST_PAGE];
        do {
            $page = $this->call('GET', '/v1/messages', $query);
            foreach ($page['messages'] as $one) {
                yield $one;
            }
            $query['cursor'] = $page['nextCursor'];
        } while ($page['nextCursor'] !== null);
    }

    /** @return array<string, mixed> The message, cancelled; what has begun is an exception with NOT_CANCELLABLE. */
    public function cancel(string $messageId): array
    {
        return $this->change('messages', $messageId, 'cancel');
    }

    /** @return array<string, mixed> The scheduled message, sent now. */
    public function hasten(string $messageId): array
    {
        return $this->change('messages', $messageId, 'hasten');
    }

    /** @return array<string, mixed> */
    public function reschedule(string $messageId, \DateTimeInterface|string $at): array
    {
        return $this->change('messages', $messageId, 'reschedule', ['scheduledSent' => $at]);
    }

    /** @return array{cancelled: int, tooLate: int} */
    public function cancelTag(string $tag): array
    {
        return $this->change('tags', $tag, 'cancel');
    }

    /** @return array{hastened: int, tooLate: int} */
    public function hastenTag(string $tag): array
    {
        return $this->change('tags', $tag, 'hasten');
    }

    /** @return array{rescheduled: int, tooLate: int} */
    public function rescheduleTag(string $tag, \DateTimeInterface|string $at): array
    {
        return $this->change('tags', $tag, 'reschedule', ['scheduledSent' => $at]);
    }

    /**
     * Whether these digits, which a person typed, are the last ones of the number that called. Each check counts.
     *
     * @return array{messageId: string, trackinId: string, result: string, matched: bool, checksLeft: int}
     */
    public function checkFlashcall(string $messageId, string $digits): array
    {
        $path = '/v1/flashcalls/' . rawurlencode($messageId) . '/check';
        return $this->call('POST', $path, body: self::encode(['digits' => $digits]), isRepeatable: false);
    }

    /**
     * Counts, delivered share and cost by `day` or `hour`.
     *
     * @param list<string> $by channel, status, type, tag
     * @param array<string, \DateTimeInterface|string> $filters as for `messages`
     * @return array<string, mixed>
     */
    public function statistics(string $interval = 'day', array $by = [], array $filters = []): array
    {
        return $this->call('GET', '/v1/statistics', self::query($filters) + ['interval' => $interval, 'by' => $by]);
    }

    /** @return list<array<string, mixed>> The account's links: up or down, in flight, what waits in their lanes. */
    public function channels(): array
    {
        return $this->call('GET', '/v1/channels')['channels'];
    }

    /** @param list<array{id: int|string, type: string, value: string}> $variables */
    public function putVariables(array $variables): int
    {
        return $this->call('POST', '/api/items', body: self::encode(['variables' => $variables]))['stored'];
    }

    /**
     * Be told of events at this URL. The `secret` in the answer is shown this once: `Webhook::verify` needs it.
     *
     * @param ?list<string> $types null: every type
     * @return array<string, mixed>
     */
    public function addWebhook(string $url, ?array $types = null): array
    {
        $body = self::encode($types === null ? ['url' => $url] : ['url' => $url, 'types' => $types]);
        return $this->call('POST', '/v1/webhooks', body: $body, isRepeatable: false);
    }

    /** @return list<array<string, mixed>> */
    public function webhooks(): array
    {
        return $this->call('GET', '/v1/webhooks')['webhooks'];
    }

    public function removeWebhook(string $webhookId): void
    {
        $this->call('DELETE', '/v1/webhooks/' . rawurlencode($webhookId), isRepeatable: false);
    }

    /**
     * The answers to each request that the messages fill, as they are read.
     *
     * @param iterable<array<string, mixed>> $messages
     * @param array<string, string> $query
     * @return \Generator<int, list<array<string, mixed>>>
     */
    private function send(iterable $messages, string $via, array $query, ?string $idempotencyKey): \Generator
    {
        $path = self::ROUTES[$via] ?? throw new \InvalidArgumentException("there is no route '$via'");
        $number = 0;
        foreach (self::bodies($messages) as $offset => $body) {
            $key = $idempotencyKey === null ? bin2hex(random_bytes(16)) : $idempotencyKey . '.' . $number++;
            $headers = isset($query['validate']) ? [] : ["Idempotency-Key: $key"];
            $answers = $this->call('POST', $path, $query, $body, $headers, $offset);
            foreach ($answers as &$one) {
                if (isset($one['error'])) {
                    $one['error'] = ApiException::moved($one['error'], $offset);
                }
            }
            unset($one);
            yield $answers;
        }
    }

    /**
     * The body of each request, by the place of its first message.
     *
     * @param iterable<array<string, mixed>> $messages
     * @return \Generator<int, string>
     */
    private static function bodies(iterable $messages): \Generator
    {
        $parts = [];
        $size = $offset = 0;
        foreach ($messages as $message) {
            $part = self::encode($message);
            if ($parts !== [] && (count($parts) === self::MOST_MESSAGES || $size + strlen($part) > self::MOST_BYTES)) {
                yield $offset => '[' . implode(',', $parts) . ']';
                $offset += count($parts);
                $parts = [];
                $size = 0;
            }
            $parts[] = $part;
            $size += strlen($part) + 1;
        }
        if ($parts !== []) {
            yield $offset => '[' . implode(',', $parts) . ']';
        }
    }

    /** @param array<string, mixed> $value */
    private static function encode(array $value): string
    {
        array_walk($value, function (mixed &$one): void {
            $one = $one instanceof \DateTimeInterface ? $one->format(\DateTimeInterface::ATOM) : $one;
        });
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE;
        return json_encode($value === [] ? new \stdClass() : $value, $flags);
    }

    /**
     * @param array<string, mixed>|null $body
     * @return array<string, mixed>
     */
    private function change(string $noun, string $name, string $verb, ?array $body = null): array
    {
        $encoded = $body === null ? '' : self::encode($body);
        return $this->call('POST', "/v1/$noun/" . rawurlencode($name) . "/$verb", body: $encoded);
    }

    /**
     * @param array<string, \DateTimeInterface|string> $filters
     * @return array<string, string>
     */
    private static function query(array $filters): array
    {
        $query = [];
        foreach ($filters as $name => $value) {
            $written = self::FILTERS[$name] ?? throw new \InvalidArgumentException(
                "there is no filter '$name': there are " . implode(', ', array_keys(self::FILTERS)),
            );
            $query[$written] = $value instanceof \DateTimeInterface ? $value->format(\DateTimeInterface::ATOM) : $value;
        }
        return $query;
    }

    /**
     * @param array<string, string|list<string>> $query
     * @param list<string> $headers
     */
    private function call(
        string $method,
        string $path,
        array $query = [],
        ?string $body = null,
        array $headers = [],
        int $offset = 0,
        bool $isRepeatable = true,
    ): mixed {
        $pairs = [];
        foreach ($query as $name => $values) {
            foreach ((array) $values as $value) {
                $pairs[] = rawurlencode($name) . '=' . rawurlencode($value);
            }
        }
        $url = $this->baseUrl . $path . ($pairs === [] ? '' : '?' . implode('&', $pairs));
        if ($body !== null) {
            $headers[] = 'Content-Type: application/json';
        }
        for ($tried = 1;; $tried++) {
            try {
                return $this->once($method, $url, $body, [...$this->headers, ...$headers], $offset);
            } catch (UnreachableException | ApiException $failure) {
                $pauseS = $this->retries->pauseS($failure, $tried, $isRepeatable);
                if ($pauseS === null) {
                    throw $failure;
                }
                usleep((int) round($pauseS * 1_000_000));
            }
        }
    }

    /** @param list<string> $headers */
    private function once(string $method, string $url, ?string $body, array $headers, int $offset): mixed
    {
        $retryAfter = null;
        curl_reset($this->curl); // keeps its connection
        curl_setopt_array($this->curl, [
            CURLOPT_URL => $url,
            CURLOPT_CUSTOMREQUEST => $method,
            CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_FOLLOWLOCATION => false,
            CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
            CURLOPT_CONNECTTIMEOUT_MS => (int) (min($this->timeoutS, 10.0) * 1000),
            CURLOPT_TIMEOUT_MS => (int) ($this->timeoutS * 1000),
            CURLOPT_HEADERFUNCTION => function (\CurlHandle $curl, string $line) use (&$retryAfter): int {
                if (stripos($line, 'retry-after:') === 0) {
                    $retryAfter = trim(substr($line, strlen('retry-after:')));
                }
                return strlen($line);
            },
        ]);
        if ($body !== null) {
            curl_setopt($this->curl, CURLOPT_POSTFIELDS, $body);
        }
        $text = curl_exec($this->curl);
        if ($text === false) {
            $number = curl_errno($this->curl);
            $words = "no answer from $this->baseUrl (" . curl_strerror($number) . ')';
            throw new UnreachableException($words, in_array($number, self::NEVER_LEFT, true));
        }
        $status = curl_getinfo($this->curl, CURLINFO_RESPONSE_CODE);
        $told = json_decode($text, true);
        $isRead = $text === '' || $told !== null;
        if ($status >= 200 && $status < 300 && $isRead) {
            return $told;
        }
        $failedAs = $status >= 200 && $status < 300 ? 502 : $status; // a proxy's page, say
        throw ApiException::of($failedAs, $told, $offset, self::retryAfterS($retryAfter));
    }

    private static function retryAfterS(?string $header): ?float
    {
        if ($header === null || ctype_digit($header)) {
            return $header === null ? null : (float) $header;
        }
        $at = strtotime($header);
        return $at === false ? null : max((float) ($at - time()), 0.0);
    }
}
